/** Token buckets against real numbers. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import * as TokenRateLimits from "../../layers/limits/TokenRateLimits.ts"
import { RateLimits } from "../../services/limits/RateLimits.ts"

interface Sizes {
  readonly burst: number
  /** Milliseconds in which a token is gained. */
  readonly gap: number
}

type Step =
  | { readonly do: "take"; readonly key: string; readonly costs: ReadonlyArray<number> }
  | { readonly do: "wait"; readonly millis: number }
  /** Puts the wall clock back: no time passes. */
  | { readonly do: "setBack"; readonly millis: number }
  | ({ readonly do: "resize" } & Sizes)

const sizes = { burst: fc.integer({ min: 1, max: 20 }), gap: fc.constantFrom(1, 10, 250, 1_000) }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("take" as const),
      key: fc.constantFrom("a", "b"),
      // Several: takers at the same time.
      costs: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 5 })
    })
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("wait" as const), millis: fc.nat(3_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("setBack" as const), millis: fc.nat(10_000_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resize" as const), ...sizes }) }
)

const check = (first: Sizes, steps: ReadonlyArray<Step>) =>
  Effect.gen(function* () {
    const limits = yield* RateLimits
    let now = 0
    let { burst, gap } = first
    // Since the last resize, of each key: what was granted when.
    let granted: Array<{ readonly key: string; readonly at: number; readonly cost: number }> = []
    const levels = new Map<string, Sizes & { level: number; readonly at: number }>()
    /** A new size holds from a key's next take on. */
    const levelOf = (key: string) => {
      const found = levels.get(key) ?? { level: burst, at: now, burst, gap }
      const gained = Math.min(found.burst, found.level + (now - found.at) / found.gap)
      const fresh = { level: Math.min(burst, gained), at: now, burst, gap }
      levels.set(key, fresh)
      return fresh
    }

    for (const step of steps) {
      switch (step.do) {
        case "wait":
          yield* TestClock.adjust(step.millis)
          now += step.millis
          break
        case "setBack":
          yield* TestClock.setTime((yield* Clock.currentTimeMillis) - step.millis)
          break
        case "resize":
          burst = step.burst
          gap = step.gap
          granted = []
          break
        case "take": {
          const limit = { name: "limit", limit: burst, per: burst * gap }
          // What can never be granted leaves no trace.
          const level = step.costs.some((cost) => cost <= burst) ? levelOf(step.key) : { level: 0 }
          const before = level.level
          const results = yield* Effect.forEach(
            step.costs,
            (cost) => Effect.result(limits.take(limit, { key: step.key, cost })),
            { concurrency: "unbounded" }
          )
          let taken = 0
          for (const [index, result] of results.entries()) {
            const cost = step.costs[index] ?? 0
            // A hair: the reference reckons in fractions.
            const isEnough = cost <= level.level + 1e-6
            assert.strictEqual(Result.isSuccess(result), isEnough, `${cost} of ${level.level}`)
            if (Result.isSuccess(result)) {
              level.level -= cost
              taken += cost
              granted.push({ key: step.key, at: now, cost })
            } else if (cost > burst) assert.isUndefined(result.failure.retryAfter)
            else assert.closeTo(result.failure.retryAfter ?? 0, (cost - level.level) * gap, 1.01)
          }
          // Takers at the same time share what there is, and no more.
          assert.isAtMost(taken, before + 1e-6)
          assert.isAtLeast(level.level, -1e-6)
        }
      }
    }
    for (const key of ["a", "b"]) {
      const grants = granted.filter((grant) => grant.key === key)
      for (const [from, first] of grants.entries()) {
        let sum = 0
        for (const { at, cost } of grants.slice(from)) {
          sum += cost
          assert.isAtMost(sum, burst + (at - first.at) / gap + 1e-6, "more than burst + rate x t was granted")
        }
      }
    }
  }).pipe(Effect.provide(TokenRateLimits.layer()), Effect.provide(TestClock.layer()), Effect.scoped)

describe("the token bucket's model", () => {
  it("grants what real numbers would, to takers at once, over resizes, whatever the wall clock does", async () => {
    await fc.assert(
      fc.asyncProperty(fc.record(sizes), fc.array(step, { maxLength: 50 }), (first, steps) =>
        Effect.runPromise(check(first, steps))
      ),
      { numRuns: process.env["ESPALIER_LONG"] === undefined ? 500 : 10_000 }
    )
  }, 300_000)
})
