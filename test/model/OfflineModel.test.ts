import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { LanguageModel } from "effect/ai"
import * as OfflineModel from "../../layers/model/OfflineModel.ts"

describe("OfflineModel", () => {
  it.effect("answers as any model does, whole or streamed", () =>
    Effect.gen(function* () {
      const model = yield* LanguageModel.LanguageModel
      const whole = yield* model.generateText({ prompt: "hello" })
      assert.include(whole.text, "No model is configured")
      assert.strictEqual(whole.finishReason, "stop")
      const parts = yield* Stream.runCollect(model.streamText({ prompt: "hello" }))
      assert.deepStrictEqual(
        parts.map(({ type }) => type),
        ["text-start", "text-delta", "text-end", "finish"]
      )
    }).pipe(Effect.provide(OfflineModel.layer))
  )

  it.effect("calls tools it was never told of, for the caller to judge", () =>
    Effect.gen(function* () {
      const model = yield* LanguageModel.LanguageModel
      const { toolCalls } = yield* model.generateText({
        prompt: '/tool unheard_of {"a":1}',
        disableToolCallResolution: true,
        toolCallValidation: "deferred"
      })
      assert.deepStrictEqual(
        toolCalls.map(({ name, params }) => [name, params]),
        [["unheard_of", { a: 1 }]]
      )
    }).pipe(Effect.provide(OfflineModel.layer))
  )
})
