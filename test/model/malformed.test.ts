/** What no provider should send and some do. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Random, Stream } from "effect"
import { AiError, type LanguageModel, Tool, Toolkit } from "effect/ai"
import * as AiSdkModel from "../../layers/model/AiSdkModel.ts"
import { boundedFetch } from "../../layers/model/aisdk/boundedFetch.ts"
import { calls, finish, thinks, words } from "../support/ModelServer.ts"

const ROUNDS = process.env["ESPALIER_LONG"] === "1" ? 100_000 : 5_000

const toolkit = Toolkit.make(Tool.dynamic("echo", { parameters: { type: "object" } }))
const encoder = new TextEncoder()

const bytesOf = (steps: ReturnType<typeof words>) =>
  encoder.encode(steps.map((step) => (step._tag === "Data" ? `data: ${step.data}\n\n` : "")).join(""))

const seeds = [
  bytesOf([...thinks("Hm."), ...words("Grüße 🌳", " and more"), ...finish()]),
  bytesOf(calls(["echo", '{"text":"one"}'], ["echo", '{"text":"two","deep":[1,{"a":null}]}']))
]

const spoils = [
  "\n\n",
  "data: ",
  "data: {}\n\n",
  'data: {"error":null}\n\n',
  "event: ping\ndata: x\n\n",
  ": comment\n",
  '"__proto__":{"x":1},',
  "\u0000",
  "null",
  "[[[[[[[[",
  '"index":-1,',
  '"tool_calls":[{}],',
  "1e999",
  "\uFEFF",
  "retry: 1\n",
  "\r"
].map((text) => encoder.encode(text))

const between = (min: number, max: number) => Random.nextIntBetween(min, max)

/** Cuts, doubles, swaps and adds, a few times. */
const mutate = Effect.fnUntraced(function* (seed: Uint8Array) {
  let bytes = seed
  const times = yield* between(1, 5)
  for (let i = 0; i < times; i++) {
    const at = yield* between(0, bytes.length + 1)
    const to = Math.min(bytes.length, at + (yield* between(0, 60)))
    const spoil = spoils[yield* between(0, spoils.length)] ?? spoils[0] ?? bytes
    const kind = yield* between(0, 5)
    const middle =
      kind === 0
        ? new Uint8Array()
        : kind === 1
          ? Uint8Array.of(...bytes.slice(at, to), ...bytes.slice(at, to))
          : kind === 2
            ? Uint8Array.from(bytes.slice(at, to), (byte) => byte ^ 0x55)
            : kind === 3
              ? Uint8Array.of(...spoil, ...bytes.slice(at, to))
              : bytes.slice(at, to)
    bytes = Uint8Array.of(...bytes.slice(0, at), ...middle, ...(kind === 4 ? [] : bytes.slice(to)))
  }
  return bytes
})

/** In two pieces, wherever that cuts. */
const body = (bytes: Uint8Array, cut: number) =>
  new Response(
    new ReadableStream({
      start: (controller) => {
        controller.enqueue(bytes.slice(0, cut))
        controller.enqueue(bytes.slice(cut))
        controller.close()
      }
    }),
    { status: 200, headers: { "content-type": "text/event-stream" } }
  )

const ask = (model: LanguageModel.LanguageModel) =>
  Stream.runCollect(
    model.streamText({
      prompt: "go",
      toolkit: toolkit.pipe(Effect.provide(toolkit.toLayer({ echo: () => Effect.succeed("") }))),
      disableToolCallResolution: true,
      toolCallValidation: "deferred"
    })
  )

describe("llm-malformed", () => {
  it.live(`${ROUNDS} spoiled answers end as answers or as typed errors, and none hangs or breaks anything`, () =>
    Effect.gen(function* () {
      let next = body(new Uint8Array(), 0)
      const provider = createOpenAICompatible({
        name: "local",
        baseURL: "http://127.0.0.1/v1",
        fetch: () => Promise.resolve(next)
      })
      const model = yield* AiSdkModel.make({ model: provider("m") })
      const reasons = new Map<string, number>()
      for (let round = 0; round < ROUNDS; round++) {
        const bytes = yield* mutate(seeds[round % seeds.length] ?? new Uint8Array())
        next = body(bytes, yield* between(0, bytes.length + 1))
        const exit = yield* Effect.exit(
          Effect.timeoutOrElse(ask(model), {
            duration: "5 seconds",
            orElse: () => Effect.die(new Error("it hangs"))
          })
        )
        const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
        const text = new TextDecoder().decode(bytes)
        if (reason !== undefined) {
          assert(reason._tag === "Fail" && AiError.isAiError(reason.error), `${JSON.stringify(text)} ${String(reason)}`)
        } else if (Exit.isSuccess(exit)) {
          for (const part of exit.value) {
            // Whatever was made of the arguments, they are whole JSON values or nothing.
            if (part.type === "tool-call" && part.params !== undefined) assert.isString(JSON.stringify(part.params))
          }
        }
        const tag = reason?._tag === "Fail" ? reason.error.reason._tag : "ok"
        reasons.set(tag, (reasons.get(tag) ?? 0) + 1)
      }
      assert.includeMembers([...reasons.keys()], ["ok", "InvalidResponseError"])
    }).pipe(Random.withSeed("malformed"))
  )

  it.live("an event that never ends is cut off", () =>
    Effect.gen(function* () {
      let sent = 0
      const endless = () =>
        new Response(
          new ReadableStream<Uint8Array>({
            pull: (controller) => {
              sent += 1024 * 1024
              controller.enqueue(encoder.encode(sent === 1024 * 1024 ? 'data: {"choices' : "x".repeat(1024 * 1024)))
            }
          })
        )
      const provider = createOpenAICompatible({
        name: "local",
        baseURL: "http://127.0.0.1/v1",
        fetch: boundedFetch(8 * 1024 * 1024, () => Promise.resolve(endless()))
      })
      const model = yield* AiSdkModel.make({ model: provider("m") })
      const error = yield* Effect.flip(ask(model))
      assert.isTrue(AiError.isAiError(error) && error.reason._tag === "InvalidResponseError")
      assert.isBelow(sent, 16 * 1024 * 1024)
    })
  )

  it.live("an event of 20 MiB is an answer like any other", () =>
    Effect.gen(function* () {
      const provider = createOpenAICompatible({
        name: "local",
        baseURL: "http://127.0.0.1/v1",
        fetch: () => Promise.resolve(body(bytesOf([...words("x".repeat(20 * 1024 * 1024)), ...finish()]), 7))
      })
      const model = yield* AiSdkModel.make({ model: provider("m") })
      const parts = yield* ask(model)
      assert.strictEqual(
        parts.reduce((size, part) => size + (part.type === "text-delta" ? part.delta.length : 0), 0),
        20 * 1024 * 1024
      )
    })
  )
})
