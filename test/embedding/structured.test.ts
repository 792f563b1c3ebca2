/** The example of `docs/models.md`, against servers that speak the wire formats of its provider and of others. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import { AiError, LanguageModel } from "effect/ai"
import { Embedded } from "espalier"
import { anthropicWire } from "../support/wire/AnthropicWire.ts"
import { chatWire } from "../support/wire/ChatWire.ts"
import { responsesWire } from "../support/wire/ResponsesWire.ts"
import { serve } from "../support/wire/Wire.ts"

const Place = Schema.Struct({ city: Schema.NonEmptyString, since: Schema.Int, note: Schema.optionalKey(Schema.String) })

const program = Effect.gen(function* () {
  const { usage, value } = yield* LanguageModel.generateObject({ prompt: "The capital of Switzerland?", schema: Place })
  return { value, tokens: usage.outputTokens.total }
})

const wires = [anthropicWire, responsesWire, chatWire].map((wire) => [wire.provider, wire] as const)

describe("a question to the runtime's own model", () => {
  it.live.each(wires)("over %s is answered by a schema", ([, wire]) =>
    Effect.gen(function* () {
      const nothing = wire.provider === "openai-compatible" ? {} : { note: null }
      const server = yield* serve(wire, (_, index) =>
        wire.whole(
          JSON.stringify(index === 0 ? { city: "Bern", since: 1848, ...nothing } : { city: "", since: 1, ...nothing })
        )
      )
      const { model, provider } = wire
      const name = `${provider}/${model}`
      const models = [{ provider, model, name, url: server.url, key: Redacted.make("sk-test") }] as const
      yield* Effect.gen(function* () {
        const { tokens = 0, value } = yield* program
        assert.deepStrictEqual(value, { city: "Bern", since: 1848 })
        assert.isAbove(tokens, 0)
        const error = yield* Effect.flip(program)
        assert.isTrue(AiError.isAiError(error) && error.reason._tag === "StructuredOutputError")
      }).pipe(Effect.provide(Embedded.layerMemory({ models })))
      assert.deepStrictEqual(server.mistakes, [])
    }).pipe(Effect.scoped)
  )

  it.live("with a schema that the provider has no form for fails and asks nobody", () =>
    Effect.gen(function* () {
      const server = yield* serve(responsesWire, () => responsesWire.whole("{}"))
      const { model, provider } = responsesWire
      const models = [{ provider, model, name: "openai/gpt-5", url: server.url, key: Redacted.make("k") }] as const
      const error = yield* LanguageModel.generateObject({ prompt: "?", schema: Schema.Array(Schema.String) }).pipe(
        Effect.flip,
        Effect.provide(Embedded.layerMemory({ models }))
      )
      assert.isTrue(AiError.isAiError(error) && error.reason._tag === "UnsupportedSchemaError")
      assert.strictEqual(server.requests.asked.length, 0)
    }).pipe(Effect.scoped)
  )
})
