import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { TestClock } from "effect/testing"
import * as TokenRateLimits from "../../layers/limits/TokenRateLimits.ts"
import { RateLimited, type RateLimit, RateLimits } from "../../services/limits/RateLimits.ts"

const limit: RateLimit = { name: "model:test", limit: 60, per: "1 minute", burst: 10 }

const take = (cost = 1, key?: string, of = limit) => RateLimits.use((limits) => limits.take(of, { cost, key }))

const granted = (times: number, key?: string, of = limit) =>
  Effect.map(
    Effect.replicateEffect(Effect.exit(take(1, key, of)), times),
    (exits) => exits.filter(Exit.isSuccess).length
  )

describe("RateLimits", () => {
  it.effect("grants a burst and then the rate, and says exactly when to try again", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* granted(20), 10)
      yield* TestClock.adjust("250 millis")
      assert.deepStrictEqual(yield* Effect.flip(take()), new RateLimited({ limit: "model:test", retryAfter: 750 }))
      assert.deepStrictEqual(yield* Effect.flip(take(3)), new RateLimited({ limit: "model:test", retryAfter: 2750 }))
      yield* TestClock.adjust("2749 millis")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(take(3))))
      yield* TestClock.adjust("1 millis")
      yield* take(3)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* granted(20), 10)
    }).pipe(Effect.provide(TokenRateLimits.layer()))
  )

  it.effect("counts each key and each limit apart", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* granted(20, "a"), 10)
      assert.strictEqual(yield* granted(20, "b"), 10)
      assert.strictEqual(yield* granted(20, "a", { ...limit, name: "model:other" }), 10)
    }).pipe(Effect.provide(TokenRateLimits.layer()))
  )

  it.effect("refuses for good what costs more than a full bucket, and dies of what cannot be reckoned with", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Effect.flip(take(11)), new RateLimited({ limit: "model:test" }))
      for (const cost of [-1, 0.5, NaN, Infinity]) {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(take(cost))))
      }
      assert.strictEqual(yield* granted(20), 10)
    }).pipe(Effect.provide(TokenRateLimits.layer()))
  )

  it.effect("grants nothing for a clock that is put back or forward", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_000_000_000)
      yield* granted(10)
      yield* TestClock.setTime(0)
      assert.strictEqual(yield* granted(10), 0)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* granted(10), 2)
    }).pipe(Effect.provide(TokenRateLimits.layer()))
  )

  it.effect("keeps a bounded number of buckets: full ones make room, and until then new keys are refused", () =>
    Effect.gen(function* () {
      for (let index = 0; index < 100; index++) yield* take(1, `k${index}`)
      assert.deepStrictEqual(
        yield* Effect.flip(take(1, "new")),
        new RateLimited({ limit: "model:test", retryAfter: 1000 })
      )
      yield* TestClock.adjust("1 second")
      for (let index = 0; index < 100; index++) yield* take(1, `new${index}`)
    }).pipe(Effect.provide(TokenRateLimits.layer({ keys: 100 })))
  )
})
