/**
 * What a model that is configured promises over the wire of its provider, whichever it is. The server follows a script and
 * refuses what the provider refuses.
 */
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Random, Schema, Stream } from "effect"
import { AiError, LanguageModel, type Prompt, type Response, Tool, Toolkit } from "effect/ai"
import { read } from "../../services/model/ownMetadata.ts"
import { eventually } from "../support/eventually.ts"
import { type Step, wait } from "../support/ScriptedServer.ts"
import { configuredModel } from "../support/wire/configuredModel.ts"
import * as Wire from "../support/wire/Wire.ts"

const { call, cut, raw, serve, silence, TAKEN, text, thought } = Wire

const echo = Tool.dynamic("echo", {
  description: "Says it again",
  parameters: { type: "object", properties: { text: { type: "string" } }, required: ["text"] }
})
const toolkit = Toolkit.make(echo)

export const streamed = (model: LanguageModel.LanguageModel, prompt: Prompt.RawInput = "hello") =>
  Stream.runCollect(
    model.streamText({
      prompt,
      toolkit: toolkit.pipe(Effect.provide(toolkit.toLayer({ echo: () => Effect.succeed("") }))),
      disableToolCallResolution: true,
      toolCallValidation: "deferred"
    })
  )

type Part = Response.StreamPart<{ readonly echo: typeof echo }, "deferred">

const textOf = (parts: ReadonlyArray<Part>): string =>
  parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join("")

/** With time between the pieces: what comes in one burst may be handed over as one. */
const apart = (steps: ReadonlyArray<Step>): ReadonlyArray<Step> => steps.flatMap((step) => [step, wait(20)])

export const modelWireContract = (wire: Wire.Wire) => {
  const live = <A, E>(
    name: string,
    script: Wire.Script,
    test: (
      model: LanguageModel.LanguageModel,
      server: Wire.WireServer
    ) => Effect.Effect<A, E, LanguageModel.LanguageModel>
  ) =>
    it.live(name, () =>
      Effect.gen(function* () {
        const server = yield* serve(wire, script)
        yield* Effect.gen(function* () {
          yield* test(yield* LanguageModel.LanguageModel, server)
        }).pipe(Effect.provide(configuredModel(wire, server.url)))
        assert.deepStrictEqual(server.mistakes, [])
      }).pipe(
        // Waits before retries are cut to next to nothing.
        Effect.provideService(Random.Random, { nextDoubleUnsafe: () => 0.001, nextIntUnsafe: () => 0 }),
        Effect.scoped
      )
    )

  const failureOf = (model: LanguageModel.LanguageModel) =>
    Effect.map(Effect.flip(streamed(model)), (error) => {
      assert.isTrue(AiError.isAiError(error))
      return error.reason
    })

  live(
    "streams text as it comes, with usage and what it costs",
    () => apart(wire.answer([text("Good morning")])),
    Effect.fnUntraced(function* (model) {
      const parts = yield* streamed(model)
      assert.isAbove(parts.filter(({ type }) => type === "text-delta").length, 1)
      assert.strictEqual(textOf(parts), "Good morning")
      const last = parts.at(-1)
      assert(last?.type === "finish")
      assert.strictEqual(last.reason, "stop")
      const { inputTokens, outputTokens } = last.usage
      assert.strictEqual(inputTokens.total, TAKEN.input)
      assert.strictEqual(inputTokens.cacheRead, TAKEN.cached)
      assert.strictEqual(outputTokens.total, TAKEN.output)
      assert.strictEqual(outputTokens.reasoning, TAKEN.reasoning)
      const written = inputTokens.cacheWrite ?? 0
      assert.strictEqual(written, wire.provider === "anthropic" ? TAKEN.written : 0)
      const { cost, model: name } = read(last.metadata)
      assert.strictEqual(name, `${wire.provider}/${wire.model}`)
      const plain = TAKEN.input - TAKEN.cached - written
      assert.closeTo(
        cost ?? 0,
        (plain * 1 + TAKEN.cached * 0.1 + written * 1.25 + TAKEN.output * 10) / 1_000_000,
        1e-12
      )
    })
  )

  live(
    "streams reasoning apart from the text",
    () => wire.answer([thought("Let me see."), text("Yes.")]),
    Effect.fnUntraced(function* (model) {
      const parts = yield* streamed(model)
      assert.strictEqual(
        parts.map((part) => (part.type === "reasoning-delta" ? part.delta : "")).join(""),
        "Let me see."
      )
      assert.strictEqual(textOf(parts), "Yes.")
    })
  )

  live(
    "streams the arguments of parallel calls, and gives each call whole",
    () => apart(wire.answer([text("Both."), call("a", "echo", { text: "one" }), call("b", "echo", { text: "two" })])),
    Effect.fnUntraced(function* (model, server) {
      const parts = yield* streamed(model)
      assert.deepStrictEqual(
        parts.flatMap((part) => (part.type === "tool-call" ? [[part.id, part.name, part.params]] : [])),
        [
          ["a", "echo", { text: "one" }],
          ["b", "echo", { text: "two" }]
        ]
      )
      assert.isAbove(parts.filter(({ type }) => type === "tool-params-delta").length, 3)
      const last = parts.at(-1)
      assert.strictEqual(last?.type === "finish" ? last.reason : "", "tool-calls")
      assert.deepStrictEqual(server.heard[0]?.tools, ["echo"])
    })
  )

  live(
    "takes nothing for an empty object, and what is not JSON for nothing",
    () => wire.answer([call("a", "echo", ""), call("b", "echo", '{"text": "unfinish'), call("c", "echo", "rm -rf /")]),
    Effect.fnUntraced(function* (model) {
      const parts = yield* streamed(model)
      assert.deepStrictEqual(
        parts.flatMap((part) => (part.type === "tool-call" ? [part.params] : [])),
        [{}, undefined, undefined]
      )
    })
  )

  live(
    "offers tools whose parameters are alternatives, as servers of MCP have them",
    () => wire.answer([text("ok")]),
    Effect.fnUntraced(function* (model, server) {
      const odd = Toolkit.make(
        Tool.dynamic("attach", {
          parameters: {
            type: "object",
            anyOf: [
              { type: "object", properties: { content: { type: "string" } }, required: ["content"] },
              { type: "object", properties: { url: { type: "string" } }, required: ["url"] }
            ]
          }
        }),
        Tool.dynamic("nothing_said", { parameters: {} })
      )
      const handlers = odd.toLayer({ attach: () => Effect.succeed(null), nothing_said: () => Effect.succeed(null) })
      yield* Stream.runDrain(
        model.streamText({ prompt: "go", toolkit: odd.pipe(Effect.provide(handlers)), disableToolCallResolution: true })
      )
      assert.deepStrictEqual(server.heard[0]?.tools, ["attach", "nothing_said"])
      const raw = JSON.stringify(server.heard[0]?.raw)
      assert.include(raw, '"properties":{"content":{"type":"string"},"url":{"type":"string"}}')
    })
  )

  live(
    "gives structured output by its schema, where the schema has what is optional, alternatives and formats too",
    () =>
      wire.whole(
        JSON.stringify(
          wire.provider === "openai-compatible"
            ? { city: "Bern", kind: "capital", since: 1848 }
            : { city: "Bern", kind: "capital", since: 1848, note: null }
        )
      ),
    Effect.fnUntraced(function* (_, server) {
      const { value } = yield* LanguageModel.generateObject({
        prompt: "which?",
        schema: Schema.Struct({
          city: Schema.NonEmptyString,
          kind: Schema.Literals(["capital", "town"]),
          since: Schema.Int.check(Schema.isGreaterThan(0)),
          note: Schema.optionalKey(Schema.String)
        }),
        objectName: "place"
      })
      assert.deepStrictEqual(value, { city: "Bern", kind: "capital", since: 1848 })
      assert.include(JSON.stringify(server.heard[0]?.schema), '"city"')
    })
  )

  live(
    "says so when structured output does not fit",
    () => wire.whole('{"city": 3}'),
    Effect.fnUntraced(function* () {
      const error = yield* Effect.flip(
        LanguageModel.generateObject({ prompt: "which?", schema: Schema.Struct({ city: Schema.String }) })
      )
      assert(AiError.isAiError(error))
      assert.oneOf(error.reason._tag, ["InvalidOutputError", "StructuredOutputError"])
    })
  )

  live(
    "aborts the request when it is interrupted, before the first word and after",
    (_, index) => (index === 0 ? [silence] : [...wire.unfinished([text("one")]), silence]),
    Effect.fnUntraced(function* (model, { requests }) {
      for (const round of [1, 2]) {
        const fiber = yield* Effect.forkChild(streamed(model))
        yield* eventually("it was asked", () => requests.asked.length === round && requests.open() === 1)
        yield* Effect.sleep("50 millis")
        yield* Fiber.interrupt(fiber)
        yield* eventually("the server sees it leave", () => requests.abandoned() === round && requests.open() === 0)
      }
    })
  )

  const lasting: ReadonlyArray<readonly [string, Wire.Reply, AiError.AiErrorReason["_tag"]]> = [
    ["a key that is refused", wire.refusal(401, "invalid x-api-key"), "AuthenticationError"],
    ["what the key may not", wire.refusal(403, "not allowed to use this model"), "AuthenticationError"],
    ["a model that is not there", wire.refusal(404, "model: none"), "InvalidRequestError"],
    ["a request that is wrong", wire.refusal(400, "messages: required"), "InvalidRequestError"],
    [
      "an empty account",
      wire.provider === "anthropic"
        ? wire.refusal(400, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.")
        : wire.refusal(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            {},
            "insufficient_quota"
          ),
      "QuotaExhaustedError"
    ],
    [
      "a connection that breaks in an event",
      [...wire.unfinished([text("so far")]), raw('data: {"ty'), cut],
      "NetworkError"
    ],
    [
      "an event that is not JSON",
      [...wire.unfinished([text("so far")]), raw("event: x\ndata: {nonsense\n\n")],
      "InvalidResponseError"
    ],
    [
      "overload in the middle of an answer",
      [...wire.unfinished([text("so far")]), wire.errorEvent("overloaded")],
      "InternalProviderError"
    ],
    [
      "a limit in the middle of an answer",
      [...wire.unfinished([text("so far")]), wire.errorEvent("limited")],
      "RateLimitError"
    ]
  ]
  for (const [name, reply, tag] of lasting) {
    live(
      `tells ${name} as what it is, and asks once`,
      () => reply,
      Effect.fnUntraced(function* (model, server) {
        const reason = yield* failureOf(model)
        assert.strictEqual(reason._tag, tag)
        assert.strictEqual(server.requests.asked.length, 1)
        assert.notInclude(JSON.stringify(reason), "sk-secret")
      })
    )
  }

  live(
    "knows a conversation that is too long",
    (_, index) => (index === 0 ? wire.tooLong : wire.refusal(413, "Request exceeds the maximum size")),
    Effect.fnUntraced(function* (model) {
      for (const _ of [1, 2]) {
        const reason = yield* failureOf(model)
        assert(reason._tag === "InvalidRequestError")
        assert.strictEqual(read(reason.metadata).code, "context_too_long")
      }
    })
  )

  live(
    "does not take an answer for whole that ends without its end: neither its text nor its calls",
    (_, index) => wire.unfinished([index === 0 ? text("The answer is n") : call("a", "echo", { text: "x" })]),
    Effect.fnUntraced(function* (model) {
      for (const _ of [1, 2]) {
        const reason = yield* failureOf(model)
        assert.oneOf(reason._tag, ["NetworkError", "InvalidResponseError"])
      }
    })
  )

  const headers: ReadonlyArray<readonly [string, () => Record<string, string>]> = [
    ["seconds", () => ({ "retry-after": "120" })],
    ["a date", () => ({ "retry-after": new Date(Date.now() + 120_000).toUTCString() })],
    ["milliseconds", () => ({ "retry-after-ms": "120000" })]
  ]
  for (const [unit, header] of headers) {
    live(
      `reads after how long it may ask again in ${unit}, and does not wait for minutes`,
      () => wire.refusal(429, "slow down", header()),
      Effect.fnUntraced(function* (model, server) {
        const reason = yield* failureOf(model)
        assert(reason._tag === "RateLimitError" && reason.retryAfter !== undefined)
        assert.closeTo(Duration.toSeconds(reason.retryAfter), 120, 3)
        assert.strictEqual(server.requests.asked.length, 1)
      })
    )
  }

  live(
    "asks again after what passes: overload, trouble, a limit that is over soon, an error instead of the first word",
    (_, index) =>
      index === 0
        ? wire.refusal(529, "Overloaded")
        : index === 1
          ? wire.refusal(429, "slow down", { "retry-after-ms": "300" })
          : index === 2
            ? [wire.errorEvent("overloaded")]
            : wire.answer([text("Now.")]),
    Effect.fnUntraced(function* (model, server) {
      const started = performance.now()
      assert.strictEqual(textOf(yield* streamed(model)), "Now.")
      assert.strictEqual(server.requests.asked.length, 4)
      assert.isAtLeast(performance.now() - started, 290)
    })
  )

  live(
    "gives up on trouble that stays after four requests",
    (_, index) => wire.refusal(index % 2 === 0 ? 500 : 503, "trouble"),
    Effect.fnUntraced(function* (model, server) {
      assert.strictEqual((yield* failureOf(model))._tag, "InternalProviderError")
      assert.strictEqual(server.requests.asked.length, 4)
    })
  )

  live(
    "takes a limit for a limit when the provider speaks of billing on the way",
    () =>
      wire.refusal(
        429,
        "Rate limit reached on requests per min. You can increase it by adding a payment method at https://platform.openai.com/account/billing.",
        { "retry-after": "120" },
        "rate_limit_exceeded"
      ),
    Effect.fnUntraced(function* (model) {
      assert.strictEqual((yield* failureOf(model))._tag, "RateLimitError")
    })
  )

  const endings: ReadonlyArray<readonly [Wire.Ending, string]> = [
    ["length", "length"],
    ["filtered", "content-filter"]
  ]
  for (const [ending, reason] of endings) {
    live(
      `tells an answer that was ended early: ${ending}`,
      () => wire.answer([text("so far")], ending),
      Effect.fnUntraced(function* (model) {
        const last = (yield* streamed(model)).at(-1)
        assert.strictEqual(last?.type === "finish" ? last.reason : "", reason)
      })
    )
  }

  live(
    "reads characters that were cut in two, and several events in one piece",
    () => Array.from(Wire.bytesOf(wire.answer([text("Grüße 🌳")])), (byte) => raw(Uint8Array.of(byte))),
    Effect.fnUntraced(function* (model) {
      assert.strictEqual(textOf(yield* streamed(model)), "Grüße 🌳")
    })
  )

  live(
    "reads on past events that it does not know",
    () => [
      ...wire.unfinished([]),
      raw(": a comment\n\n"),
      raw('event: something_new\ndata: {"type":"something_new","more":{"deep":[1]}}\n\n'),
      ...wire.answer([text("Yes.")]).slice(wire.unfinished([]).length)
    ],
    Effect.fnUntraced(function* (model) {
      assert.strictEqual(textOf(yield* streamed(model)), "Yes.")
    })
  )
}
