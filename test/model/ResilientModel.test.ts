import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Layer, type Scope, Stream } from "effect"
import { AiError, LanguageModel } from "effect/ai"
import { TestClock } from "effect/testing"
import * as PersistenceBreakers from "../../layers/limits/PersistenceBreakers.ts"
import * as ResilientModel from "../../layers/model/ResilientModel.ts"
import type { Options } from "../../layers/model/ResilientModel.ts"
import * as TokenRateLimits from "../../layers/limits/TokenRateLimits.ts"
import { Breakers } from "../../services/limits/Breakers.ts"
import { read, write } from "../../services/model/ownMetadata.ts"
import { recordingBus } from "../support/RecordingBus.ts"
import { layer as scripted, type Part, says, type Script } from "../support/ScriptedModel.ts"

const fail = (reason: AiError.AiErrorReason) =>
  Stream.fail(AiError.make({ module: "test", method: "streamText", reason }))
const busy = (retryAfter?: Duration.Input) =>
  fail(new AiError.RateLimitError(retryAfter === undefined ? {} : { retryAfter: Duration.fromInputUnsafe(retryAfter) }))
const broken = (metadata = {}) => fail(new AiError.InternalProviderError({ description: "503", metadata }))
const reset = fail(new AiError.NetworkError({ reason: "TransportError", method: "POST", url: "http://x" }))

interface Told {
  /** When each request was made, in milliseconds of the test's clock, by model. */
  readonly asked: Array<readonly [name: string, at: number]>
}

const candidate = (told: Told, name: string, script: Script) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const scope = yield* Effect.scope
    const noting: Script = (options, round) => {
      told.asked.push([name, clock.currentTimeMillisUnsafe()])
      return script(options, round)
    }
    const context = yield* Layer.buildWithScope(scripted(noting), scope)
    const model = yield* Effect.provideContext(LanguageModel.LanguageModel, context)
    return { provider: name.split("/")[0] ?? name, name, model }
  })

/** The policy over models that follow scripts, the first of which is the one that is asked first. */
const world = <A, E>(
  scripts: Readonly<Record<string, Script>>,
  test: (model: LanguageModel.LanguageModel, told: Told) => Effect.Effect<A, E, Breakers | Scope.Scope>,
  options?: Pick<Options, "concurrency" | "rate">
) =>
  Effect.gen(function* () {
    const told: Told = { asked: [] }
    const [first, ...rest] = yield* Effect.forEach(Object.entries(scripts), ([name, script]) =>
      candidate(told, name, script)
    )
    if (first === undefined) return yield* Effect.die("no model")
    const model = yield* ResilientModel.make({ candidates: [first, ...rest], ...options })
    return yield* test(model, told)
  }).pipe(
    Effect.provide(
      Layer.mergeAll(PersistenceBreakers.layer().pipe(Layer.provide(recordingBus([]))), TokenRateLimits.layer())
    ),
    Effect.scoped
  )

const ask = (model: LanguageModel.LanguageModel) => Stream.runCollect(model.streamText({ prompt: "go" }))
const textOf = (parts: ReadonlyArray<{ readonly type: string }>) =>
  parts.map((part) => ("delta" in part ? part.delta : "")).join("")

/** Lets time pass until it is over, and says how it ended. */
const run = <A, E>(effect: Effect.Effect<A, E>, step: Duration.Input = "1 second") =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    for (let i = 0; i < 3_000 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust(step)
    return yield* Fiber.await(fiber)
  })

const reasonOf = (exit: Exit.Exit<unknown, AiError.AiError>): AiError.AiErrorReason => {
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  assert(reason?._tag === "Fail")
  return reason.error.reason
}

describe("llm-429-500", () => {
  it.effect("asks again after what passes, until an answer comes", () =>
    world(
      { "a/m": (_, round) => (round === 0 ? busy() : round === 1 ? broken() : round === 2 ? reset : says("at last")) },
      Effect.fnUntraced(function* (model, { asked }) {
        const exit = yield* run(ask(model))
        assert(Exit.isSuccess(exit))
        assert.strictEqual(textOf(exit.value), "at last")
        assert.strictEqual(asked.length, 4)
      })
    )
  )

  it.effect("gives up after four requests, with the provider's reason", () =>
    world(
      { "a/m": () => busy() },
      Effect.fnUntraced(function* (model, { asked }) {
        const reason = reasonOf(yield* run(ask(model)))
        assert.strictEqual(reason._tag, "RateLimitError")
        assert.strictEqual(asked.length, 4)
      })
    )
  )

  it.effect("waits as long as the provider asks for, and no less", () =>
    world(
      {
        "a/m": (_, round) =>
          round === 0 ? busy("7 seconds") : round === 1 ? broken(write({ retryAfter: 11_000 })) : says("ok")
      },
      Effect.fnUntraced(function* (model, { asked }) {
        yield* run(ask(model), "100 millis")
        const [first = 0, second = 0, third = 0] = asked.map(([, at]) => at)
        assert.isAtLeast(second - first, 7_000)
        assert.isAtMost(second - first, 8_100)
        assert.isAtLeast(third - second, 11_000)
      })
    )
  )

  it.effect("does not wait for a provider that wants to be left alone for long", () =>
    world(
      { "a/m": () => busy("10 minutes") },
      Effect.fnUntraced(function* (model, { asked }) {
        const reason = reasonOf(yield* run(ask(model)))
        assert(reason._tag === "RateLimitError")
        assert.deepStrictEqual(reason.retryAfter, Duration.minutes(10))
        assert.strictEqual(asked.length, 1)
      })
    )
  )

  it.effect("waits between nothing and a growing limit: full jitter", () =>
    Effect.gen(function* () {
      const waits: Array<ReadonlyArray<number>> = []
      for (let i = 0; i < 40; i++) {
        yield* world(
          { "a/m": () => busy() },
          Effect.fnUntraced(function* (model, { asked }) {
            yield* run(ask(model), "50 millis")
            waits.push(asked.slice(1).map(([, at], index) => at - (asked[index]?.[1] ?? 0)))
          })
        )
      }
      for (const [index, limit] of [1_000, 2_000, 4_000].entries()) {
        const these = waits.map((wait) => wait[index] ?? Number.NaN)
        assert.isAtMost(Math.max(...these), limit + 50)
        assert.isBelow(Math.min(...these), limit / 3)
        assert.isAbove(Math.max(...these), limit / 2)
      }
    })
  )

  it.effect("asks only once for what will not pass", () =>
    Effect.forEach(
      [
        new AiError.AuthenticationError({ kind: "InvalidKey" }),
        new AiError.InvalidRequestError({ description: "no" }),
        new AiError.QuotaExhaustedError({}),
        new AiError.ContentPolicyError({ description: "no" })
      ],
      (reason) =>
        world(
          { "a/m": () => fail(reason) },
          Effect.fnUntraced(function* (model, { asked }) {
            assert.strictEqual(reasonOf(yield* run(ask(model)))._tag, reason._tag)
            assert.strictEqual(asked.length, 1)
          })
        )
    )
  )

  it.effect("repeats nothing once an answer has begun", () =>
    world(
      {
        "a/m": () => Stream.concat(Stream.fromIterable(says("half").slice(0, 2)), broken()),
        "b/m": () => says("other")
      },
      Effect.fnUntraced(function* (model, { asked }) {
        const reason = reasonOf(yield* run(ask(model)))
        assert.strictEqual(reason._tag, "InternalProviderError")
        assert.strictEqual(asked.length, 1)
      })
    )
  )

  it.effect("makes at most one retry for ten calls in the long run, so that it breaks nobody further", () =>
    world(
      { "a/m": () => busy() },
      Effect.fnUntraced(function* (model, { asked }) {
        const calls = 2_000
        for (let i = 0; i < calls / 100; i++) {
          yield* run(Effect.forEach(Array.from({ length: 100 }), () => Effect.exit(ask(model)), { concurrency: 50 }))
        }
        assert.isAbove(asked.length, calls)
        assert.isAtMost(asked.length - calls, calls / 10)
      })
    )
  )

  it.effect("leaves a provider alone that fails again and again, and lets one through to see", () => {
    let isWell = false
    return world(
      { "a/m": () => (isWell ? says("well again") : broken()) },
      Effect.fnUntraced(function* (model, { asked }) {
        const breakers = yield* Breakers
        const asks = yield* Effect.forEach(
          Array.from({ length: 5 }),
          () => Effect.forkChild(Effect.exit(ask(model)), { startImmediately: true }),
          { concurrency: "unbounded" }
        )
        assert.strictEqual((yield* breakers.state("model:a")).state, "open")
        const before = asked.length
        const reason = reasonOf(yield* Effect.exit(ask(model)))
        assert(reason._tag === "InternalProviderError")
        assert.strictEqual(read(reason.metadata).code, "model_unavailable")
        assert.include(reason.description, "; the last time, the provider could not answer")
        assert.strictEqual(asked.length, before)
        yield* Effect.forEach(asks, (fiber) => run(Fiber.join(fiber)))
        isWell = true
        yield* TestClock.adjust("2 minutes")
        assert.isTrue(Exit.isSuccess(yield* run(ask(model))))
        assert.strictEqual((yield* breakers.state("model:a")).state, "closed")
      })
    )
  })
})

describe("fallback models", () => {
  it.effect("stand in for one that fails, or whose breaker is open", () =>
    world(
      { "a/m": () => broken(), "b/m": () => says("from b") },
      Effect.fnUntraced(function* (model, { asked }) {
        for (let i = 0; i < 10; i++) {
          const exit = yield* run(ask(model), "100 millis")
          assert(Exit.isSuccess(exit))
          assert.strictEqual(textOf(exit.value), "from b")
        }
        // The breaker of the first has opened meanwhile: not every call asks it.
        assert.isBelow(asked.filter(([name]) => name === "a/m").length, 20)
        assert.strictEqual(asked.filter(([name]) => name === "b/m").length, 10)
      })
    )
  )

  it.effect("stand in for one that refuses the key, at once", () =>
    world(
      { "a/m": () => fail(new AiError.AuthenticationError({ kind: "InvalidKey" })), "b/m": () => says("from b") },
      Effect.fnUntraced(function* (model, { asked }) {
        const exit = yield* Effect.exit(ask(model))
        assert(Exit.isSuccess(exit))
        assert.deepStrictEqual(
          asked.map(([name]) => name),
          ["a/m", "b/m"]
        )
      })
    )
  )

  it.effect("cannot mend what all fail at: the reason is of the last that was asked", () =>
    world(
      { "a/m": () => broken(), "b/m": () => fail(new AiError.AuthenticationError({ kind: "InvalidKey" })) },
      Effect.fnUntraced(function* (model) {
        assert.strictEqual(reasonOf(yield* run(ask(model)))._tag, "AuthenticationError")
      })
    )
  )
})

describe("llm-stall", () => {
  it.effect("a model from which nothing comes is given up after the idle limit, and the next is asked", () =>
    world(
      {
        "a/m": () => Stream.concat(Stream.succeed<Part>({ type: "response-metadata", modelId: "m" }), Stream.never),
        "b/m": () => says("from b")
      },
      Effect.fnUntraced(function* (model, { asked }) {
        const exit = yield* run(ask(model))
        assert(Exit.isSuccess(exit))
        assert.strictEqual(textOf(exit.value), "from b")
        const [, second] = asked
        assert.isAtLeast(second?.[1] ?? 0, 30_000)
      })
    )
  )

  it.effect("is told as such when there is no other", () =>
    world(
      { "a/m": () => Stream.never },
      Effect.fnUntraced(function* (model) {
        const reason = reasonOf(yield* run(ask(model), "10 seconds"))
        assert(reason._tag === "InternalProviderError")
        assert.strictEqual(read(reason.metadata).code, "model_stalled")
      })
    )
  )
})

describe("requests under way", () => {
  it.effect("are no more at a time than the provider is to have, and end with whoever reads them", () => {
    let open = 0
    let most = 0
    const counted = Stream.fromEffect(
      Effect.acquireRelease(
        Effect.sync(() => {
          most = Math.max(most, ++open)
        }),
        () => Effect.sync(() => open--)
      )
    ).pipe(
      Stream.flatMap(() => Stream.concat(Stream.fromIterable(says("x").slice(0, 2)), Stream.never)),
      Stream.scoped
    )
    return world(
      { "a/m": () => counted },
      Effect.fnUntraced(function* (model) {
        const fibers = yield* Effect.forEach(Array.from({ length: 20 }), () =>
          Effect.forkChild(ask(model), { startImmediately: true })
        )
        for (let i = 0; i < 100; i++) yield* Effect.yieldNow
        assert.strictEqual(open, 4)
        for (const fiber of fibers.slice(0, 10)) yield* Fiber.interrupt(fiber)
        for (let i = 0; i < 100; i++) yield* Effect.yieldNow
        assert.strictEqual(open, 4)
        for (const fiber of fibers) yield* Fiber.interrupt(fiber)
        assert.strictEqual(open, 0)
        assert.strictEqual(most, 4)
      }),
      { concurrency: 4 }
    )
  })

  it.effect("keep to the rate at which a provider is to be asked, and wait for their time", () =>
    world(
      { "a/m": () => says("x") },
      Effect.fnUntraced(function* (model, { asked }) {
        const begin = yield* Clock.currentTimeMillis
        const all = Effect.forEach(Array.from({ length: 12 }), () => ask(model), { concurrency: "unbounded" })
        const exit = yield* run(all, "500 millis")
        assert.isTrue(Exit.isSuccess(exit))
        const at = asked.map(([, time]) => time - begin)
        // Three at once, and one more each ten seconds.
        assert.deepStrictEqual(
          at.map((time) => Math.round(time / 10_000)),
          [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        )
      }),
      { rate: { limit: 6, per: "1 minute", burst: 3 } }
    )
  )
})
