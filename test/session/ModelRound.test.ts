import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema, Stream } from "effect"
import { AiError, type Prompt } from "effect/ai"
import { TestClock } from "effect/testing"
import { SessionEvent } from "../../services/session/SessionEvent.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { ended } from "../contracts/SessionManager.ts"
import { calls, layer as scripted, type Part, says, type Script } from "../support/ScriptedModel.ts"
import { eventsOf, inProcess, is, layerDurable, SessionWorld, until } from "../support/SessionWorld.ts"

const turn = <A, E, R>(script: Script, test: (id: SessionId) => Effect.Effect<A, E, R>) =>
  inProcess({ model: scripted(script) })(
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({})
      yield* manager.send({ sessionId: id, text: "go" })
      return yield* test(id)
    })
  ).pipe(Effect.provide(layerDurable))

const usage = {
  inputTokens: { uncached: 80, total: 100, cacheRead: 20, cacheWrite: undefined },
  outputTokens: { total: 50, text: 30, reasoning: 20 }
}

/** A signed thought, a remark, a second thought, and two calls of which one carries something of the provider's own. */
const thoughtful: ReadonlyArray<Part> = [
  { type: "response-metadata", modelId: "thinker-1" },
  { type: "reasoning-start", id: "0" },
  { type: "reasoning-delta", id: "0", delta: "Hmm, " },
  { type: "reasoning-delta", id: "0", delta: "yes." },
  { type: "reasoning-delta", id: "0", delta: "", metadata: { acme: { signature: "s1" } } },
  { type: "reasoning-end", id: "0" },
  { type: "text-start", id: "1", metadata: { acme: { item: "m1" } } },
  { type: "text-delta", id: "1", delta: "Let me see." },
  { type: "text-end", id: "1" },
  { type: "reasoning-start", id: "2", metadata: { acme: { redacted: "xyz" } } },
  { type: "reasoning-end", id: "2" },
  { type: "tool-call", id: "a", name: "echo", params: { text: "A" }, metadata: { acme: { thought: "t" } } },
  { type: "tool-call", id: "b", name: "echo", params: { text: "B" } },
  { type: "finish", reason: "tool-calls", usage, metadata: { espalier: { model: "acme/thinker", cost: 0.5 } } }
]

const assistantOf = (prompt: Prompt.Prompt) =>
  prompt.content
    .flatMap((message) => (message.role === "assistant" ? message.content : []))
    .map((part) => ({
      type: part.type,
      ...("text" in part ? { text: part.text } : undefined),
      ...(part.type === "tool-call" ? { params: part.params } : undefined),
      options: part.options
    }))

const expected = [
  { type: "reasoning", text: "Hmm, yes.", options: { acme: { signature: "s1" } } },
  { type: "text", text: "Let me see.", options: { acme: { item: "m1" } } },
  { type: "reasoning", text: "", options: { acme: { redacted: "xyz" } } },
  { type: "tool-call", params: { text: "A" }, options: { acme: { thought: "t" } } },
  { type: "tool-call", params: { text: "B" }, options: {} }
]

describe("a round of a model", () => {
  it.effect("travels back as it came: order, reasoning, and what the provider attached", () => {
    let shown: ReadonlyArray<unknown> = []
    let later: ReadonlyArray<unknown> = []
    return turn(
      ({ prompt }, round) => {
        if (round === 0) return thoughtful
        if (round === 1) shown = assistantOf(prompt)
        else later = assistantOf(prompt)
        return says("done")
      },
      Effect.fnUntraced(function* (id) {
        const manager = yield* SessionManager
        yield* ended(id, 1)
        assert.deepStrictEqual(shown, expected)
        // The second turn reads it from the journal.
        yield* manager.send({ sessionId: id, text: "and now?" })
        yield* ended(id, 2)
        assert.deepStrictEqual(later, [...expected, { type: "text", text: "done", options: {} }])
      })
    )
  })

  it.effect("is journaled with its model, its tokens and its cost, once, on its first event", () =>
    turn(
      (_, round) => (round === 0 ? thoughtful : says("done")),
      Effect.fnUntraced(function* (id) {
        yield* ended(id, 1)
        const events = (yield* eventsOf(id)).map(({ event }) => event)
        const answers = events.flatMap((event) => ("answer" in event && event.answer !== undefined ? [event] : []))
        assert.deepStrictEqual(
          answers.map(({ _tag }) => _tag),
          ["MessageSettled", "MessageSettled"]
        )
        assert.deepInclude(answers[0]?.answer, {
          model: "acme/thinker",
          usage: { inputTokens: 100, outputTokens: 50, cachedTokens: 20, reasoningTokens: 20, cost: 0.5 }
        })
        assert.isTrue(events.every(Schema.is(SessionEvent)))
      })
    )
  )

  it.effect("without a word is journaled with its first call", () =>
    turn(
      (_, round) => (round === 0 ? calls(["echo", { text: "x" }]) : says("done")),
      Effect.fnUntraced(function* (id) {
        const call = yield* until(id, is("ToolCallRequested"))
        assert.deepStrictEqual(call.answer?.usage, { inputTokens: 1, outputTokens: 1 })
        yield* ended(id, 1)
      })
    )
  )

  it.effect("that falls silent in its answer ends after the idle limit, with what was said marked as partial", () =>
    turn(
      (_, round) =>
        round === 0 ? Stream.concat(Stream.fromIterable(says("so far").slice(0, 2)), Stream.never) : says("ok"),
      Effect.fnUntraced(function* (id) {
        const manager = yield* SessionManager
        for (let i = 0; i < 50; i++) yield* Effect.yieldNow
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual((yield* manager.get(id)).status, "thinking")
        yield* TestClock.adjust("2 seconds")
        const { failure } = yield* until(id, is("TurnEnded"))
        assert.strictEqual(failure?.code, "model_stalled")
        assert.deepInclude(yield* until(id, is("MessageSettled")), { text: "so far", partial: true })
        yield* manager.send({ sessionId: id, text: "once more" })
        assert.strictEqual((yield* ended(id, 2)).outcome, "completed")
      })
    )
  )

  it.effect("that says a word now and then is heard out, up to the limit in all", () =>
    turn(
      () =>
        Stream.concat(
          Stream.fromIterable(says("").slice(0, 1)),
          Stream.map(Stream.tick("20 seconds"), (): Part => ({ type: "text-delta", id: "t", delta: "." }))
        ),
      Effect.fnUntraced(function* (id) {
        for (let i = 0; i < 50; i++) yield* Effect.yieldNow
        for (let i = 0; i < 29; i++) yield* TestClock.adjust("20 seconds")
        const manager = yield* SessionManager
        assert.strictEqual((yield* manager.get(id)).status, "thinking")
        yield* TestClock.adjust("40 seconds")
        const { failure } = yield* until(id, is("TurnEnded"))
        assert.strictEqual(failure?.code, "model_timeout")
      })
    )
  )

  it.effect("that breaks off without an end is not whole: its calls do not run", () =>
    turn(
      () => [{ type: "tool-call", id: "a", name: "echo", params: { text: "x" } }],
      Effect.fnUntraced(function* (id) {
        const world = yield* SessionWorld
        const { failure } = yield* until(id, is("TurnEnded"))
        assert.strictEqual(failure?.code, "model_malformed")
        assert.deepStrictEqual(world.runs, [])
      })
    )
  )

  const reasons: ReadonlyArray<readonly [string, AiError.AiErrorReason]> = [
    ["model_rate_limited", new AiError.RateLimitError({ retryAfter: Duration.seconds(7) })],
    ["model_quota_exhausted", new AiError.QuotaExhaustedError({})],
    ["model_auth", new AiError.AuthenticationError({ kind: "InvalidKey", description: "bad key sk-secret" })],
    ["model_unavailable", new AiError.InternalProviderError({ description: "503" })],
    ["model_refused", new AiError.InvalidRequestError({ description: "no such model" })],
    ["context_too_long", new AiError.InvalidRequestError({ metadata: { espalier: { code: "context_too_long" } } })],
    ["model_malformed", new AiError.InvalidResponseError({ description: "not JSON" })],
    ["answer_filtered", new AiError.ContentPolicyError({ description: "no" })],
    ["model_failed", new AiError.UnknownError({})]
  ]
  it.effect.each(reasons)("fails the turn with %s", ([code, reason]) =>
    turn(
      () => Stream.fail(AiError.make({ module: "test", method: "streamText", reason })),
      Effect.fnUntraced(function* (id) {
        const { failure } = yield* until(id, is("TurnEnded"))
        assert.strictEqual(failure?.code, code)
        assert.notInclude(failure?.message ?? "", "sk-secret")
      })
    )
  )
})
