/** What no provider should send and some do. */
import { createAnthropic } from "@ai-sdk/anthropic"
import { createOpenAI } from "@ai-sdk/openai"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Random, Stream } from "effect"
import { AiError, type LanguageModel, Tool, Toolkit } from "effect/ai"
import * as AiSdkModel from "../../layers/model/AiSdkModel.ts"
import { boundedFetch } from "../../layers/model/aisdk/boundedFetch.ts"
import { anthropicWire } from "../support/wire/AnthropicWire.ts"
import { chatWire } from "../support/wire/ChatWire.ts"
import { responsesWire } from "../support/wire/ResponsesWire.ts"
import { bytesOf, call, text, thought, type Wire } from "../support/wire/Wire.ts"

/** Over each of the three formats: 100,000 in all. */
const ROUNDS = process.env["ESPALIER_LONG"] === "1" ? 33_334 : 1_000

const toolkit = Toolkit.make(Tool.dynamic("echo", { parameters: { type: "object" } }))
const encoder = new TextEncoder()

const seedsOf = (wire: Wire) =>
  [
    wire.answer([thought("Hm."), text("Grüße 🌳 and more")]),
    wire.answer([
      text("Both."),
      call("a", "echo", '{"text":"one"}'),
      call("b", "echo", '{"text":"two","deep":[1,{"a":null}]}')
    ])
  ].map(bytesOf)

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
  'data: {"type":"error"}\n\n',
  'data: {"type":"something_new"}\n\n',
  'data: {"type":"message_start"}\n\n',
  'data: {"type":"response.output_item.done"}\n\n',
  '"output_index":99,',
  '"type":"redacted_thinking",',
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

const KEY = { apiKey: "sk-test", baseURL: "http://127.0.0.1/v1" }

const providers = {
  anthropic: (fetch: typeof globalThis.fetch) => createAnthropic({ ...KEY, fetch })(anthropicWire.model),
  openai: (fetch: typeof globalThis.fetch) => createOpenAI({ ...KEY, fetch })(responsesWire.model),
  "openai-compatible": (fetch: typeof globalThis.fetch) =>
    createOpenAICompatible({ ...KEY, name: "local", fetch })(chatWire.model)
} as const

const modelOf = ({ provider }: Wire, fetch: typeof globalThis.fetch) =>
  AiSdkModel.make({ model: providers[provider](fetch) })

const wires = [anthropicWire, responsesWire, chatWire].map((wire) => [wire.provider, wire] as const)

describe("llm-malformed", () => {
  it.live.each(wires)(
    `${ROUNDS} spoiled answers of %s end as answers or as typed errors, and none hangs or breaks anything`,
    ([, wire]) =>
      Effect.gen(function* () {
        let next = body(new Uint8Array(), 0)
        const model = yield* modelOf(wire, () => Promise.resolve(next))
        const seeds = seedsOf(wire)
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
          if (reason !== undefined) {
            assert(
              reason._tag === "Fail" && AiError.isAiError(reason.error),
              `${JSON.stringify(new TextDecoder().decode(bytes))} ${String(reason)}`
            )
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
      }).pipe(Random.withSeed("malformed")),
    1_800_000
  )

  it.live.each(wires)("an event of %s that never ends is cut off", ([, wire]) =>
    Effect.gen(function* () {
      let sent = 0
      const begun = bytesOf(wire.unfinished([text("so far")]))
      const endless = () =>
        new Response(
          new ReadableStream<Uint8Array>({
            pull: (controller) => {
              if (sent === 0) controller.enqueue(begun)
              sent += 1024 * 1024
              controller.enqueue(
                encoder.encode(sent === 1024 * 1024 ? 'data: {"type":"x","choices' : "x".repeat(1024 * 1024))
              )
            }
          })
        )
      const model = yield* modelOf(
        wire,
        boundedFetch(8 * 1024 * 1024, () => Promise.resolve(endless()))
      )
      const error = yield* Effect.flip(ask(model))
      assert.isTrue(AiError.isAiError(error) && error.reason._tag === "InvalidResponseError")
      assert.isBelow(sent, 16 * 1024 * 1024)
    })
  )

  it.live.each(wires)("an event of %s of 20 MiB is an answer like any other", ([, wire]) =>
    Effect.gen(function* () {
      const long = "x".repeat(60 * 1024 * 1024)
      const answer = bytesOf(wire.answer([text(long)]))
      const model = yield* modelOf(wire, () => Promise.resolve(body(answer, 7)))
      const parts = yield* ask(model)
      assert.strictEqual(
        parts.reduce((size, part) => size + (part.type === "text-delta" ? part.delta.length : 0), 0),
        long.length
      )
    })
  )
})
