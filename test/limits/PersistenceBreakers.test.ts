import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as PersistenceBreakers from "../../layers/limits/PersistenceBreakers.ts"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import { BreakerOpen, Breakers } from "../../services/limits/Breakers.ts"
import { recordingBus } from "../support/RecordingBus.ts"

const broken = Effect.fail("broken" as const)
const fine = Effect.succeed("fine")

const withBreakers = <A, E>(
  body: (told: Array<RuntimeEvent>) => Effect.Effect<A, E, Breakers>,
  options: PersistenceBreakers.Options = {}
) =>
  Effect.suspend(() => {
    const told: Array<RuntimeEvent> = []
    return body(told).pipe(Effect.provide(PersistenceBreakers.layer(options).pipe(Layer.provide(recordingBus(told)))))
  })

const guard = <A, E>(name: string, call: Effect.Effect<A, E>) =>
  Breakers.use((breakers) => Effect.exit(breakers.guard(name, call)))

const failTimes = (name: string, times: number) => Effect.replicateEffect(guard(name, broken), times)

describe("Breakers", () => {
  it.effect("opens after five failures in a row, and says when to try again", () =>
    withBreakers((told) =>
      Effect.gen(function* () {
        const breakers = yield* Breakers
        yield* failTimes("mcp:files", 4)
        yield* guard("mcp:files", fine)
        yield* failTimes("mcp:files", 4)
        assert.deepStrictEqual(told, [])
        yield* failTimes("mcp:files", 1)
        assert.deepStrictEqual(told, [{ _tag: "BreakerOpened", breaker: "mcp:files", retryAfter: 1000, openings: 1 }])
        yield* TestClock.adjust("400 millis")
        let calls = 0
        const refusal = yield* breakers
          .guard(
            "mcp:files",
            Effect.sync(() => calls++)
          )
          .pipe(Effect.flip)
        assert.deepStrictEqual(refusal, new BreakerOpen({ breaker: "mcp:files", retryAfter: 600 }))
        assert.strictEqual(calls, 0)
        assert.deepStrictEqual(yield* breakers.list, [
          { name: "mcp:files", state: "open", failures: 5, openings: 1, refused: 1, retryAfter: 600 }
        ])
        assert.strictEqual(yield* breakers.guard("mcp:other", fine), "fine")
      })
    )
  )

  it.effect("closes when the call that tries it succeeds, and tells of each change", () =>
    withBreakers((told) =>
      Effect.gen(function* () {
        const breakers = yield* Breakers
        yield* failTimes("a", 5)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* breakers.guard("a", fine), "fine")
        assert.deepStrictEqual(
          told.map(({ _tag }) => _tag),
          ["BreakerOpened", "BreakerHalfOpened", "BreakerClosed"]
        )
        assert.strictEqual((yield* breakers.state("a")).failures, 0)
      })
    )
  )

  it.effect("lets exactly one call through to try it; an interrupted one makes room for the next", () =>
    withBreakers(() =>
      Effect.gen(function* () {
        const breakers = yield* Breakers
        yield* failTimes("a", 5)
        yield* TestClock.adjust("1 second")
        const gate = yield* Deferred.make<string>()
        const probe = yield* Effect.forkChild(breakers.guard("a", Deferred.await(gate)), { startImmediately: true })
        for (let tries = 0; tries < 10; tries++) {
          assert.strictEqual((yield* Effect.flip(breakers.guard("a", fine)))._tag, "BreakerOpen")
        }
        assert.strictEqual((yield* breakers.state("a")).state, "half_open")
        yield* Fiber.interrupt(probe)
        assert.strictEqual(yield* breakers.guard("a", fine), "fine")
        assert.strictEqual((yield* breakers.state("a")).state, "closed")
      })
    )
  )

  it.effect("is open twice as long after each call that tried it in vain, up to the cap", () =>
    withBreakers((told) =>
      Effect.gen(function* () {
        yield* failTimes("a", 5)
        for (let round = 0; round < 9; round++) {
          const last = told.at(-1)
          assert(last?._tag === "BreakerOpened")
          yield* TestClock.adjust(last.retryAfter)
          yield* failTimes("a", 1)
        }
        const times = told.flatMap((event) => (event._tag === "BreakerOpened" ? [event.retryAfter / 1000] : []))
        assert.deepStrictEqual(times, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60])
      })
    )
  )

  it.effect("is not opened by errors that say nothing of the dependency, nor by interruptions; a defect counts", () =>
    withBreakers(() =>
      Effect.gen(function* () {
        const breakers = yield* Breakers
        const limited = breakers.guard("a", Effect.fail({ status: 429 }), { isFailure: ({ status }) => status !== 429 })
        assert.deepStrictEqual(yield* Effect.flip(limited), { status: 429 })
        yield* Effect.replicateEffect(Effect.exit(limited), 20)
        yield* Effect.replicateEffect(guard("a", Effect.interrupt), 20)
        assert.strictEqual((yield* breakers.state("a")).failures, 0)
        yield* Effect.replicateEffect(guard("a", Effect.die("bug")), 5)
        assert.strictEqual((yield* breakers.state("a")).state, "open")
      })
    )
  )

  it.effect("stays open for as long as the dependency asked, within the cap", () =>
    withBreakers(() =>
      Effect.gen(function* () {
        const breakers = yield* Breakers
        const asks = (retryAfter: string) =>
          Effect.exit(breakers.guard(retryAfter, broken, { retryAfter: () => `${Number(retryAfter)} seconds` }))
        yield* Effect.replicateEffect(asks("20"), 5)
        yield* Effect.replicateEffect(asks("1000"), 5)
        assert.strictEqual((yield* breakers.state("20")).retryAfter, 20_000)
        assert.strictEqual((yield* breakers.state("1000")).retryAfter, 60_000)
      })
    )
  )

  it.effect("does something else in place of a refusal", () =>
    withBreakers(() =>
      Effect.gen(function* () {
        const breakers = yield* Breakers
        yield* failTimes("a", 5)
        const answer = yield* breakers.guard("a", fine, {
          fallback: ({ retryAfter }) => Effect.succeed(`from the cache for ${retryAfter} ms`)
        })
        assert.strictEqual(answer, "from the cache for 1000 ms")
      })
    )
  )

  it.effect("goes by the time that passes: a clock that is put back or forward changes nothing", () =>
    withBreakers(() =>
      Effect.gen(function* () {
        const breakers = yield* Breakers
        yield* TestClock.setTime(1_000_000_000)
        yield* failTimes("a", 5)
        yield* TestClock.setTime(1_000_000)
        yield* TestClock.adjust("999 millis")
        assert.strictEqual((yield* breakers.state("a")).retryAfter, 1)
        yield* TestClock.adjust("1 millis")
        assert.isTrue(Exit.isSuccess(yield* guard("a", fine)))
      })
    )
  )

  it.effect("keeps a bounded number of names: a further one is called without a breaker", () =>
    withBreakers(() =>
      Effect.gen(function* () {
        const breakers = yield* Breakers
        for (let index = 0; index < 1_000; index++) yield* guard(`n${index}`, fine)
        yield* failTimes("late", 10)
        assert.strictEqual((yield* breakers.list).length, 1_000)
        assert.strictEqual((yield* breakers.state("late")).state, "closed")
        yield* TestClock.adjust("20 minutes")
        yield* failTimes("late", 5)
        assert.strictEqual((yield* breakers.state("late")).state, "open")
        assert.strictEqual((yield* breakers.list).length, 1_000)
      })
    )
  )
})
