import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { pauseBefore, problemOf, restartsInARow } from "../../services/supervision/planBackoff.ts"

const fixed = { initial: "100 millis", cap: "5 seconds", jitter: 0 } as const
const pauses = (count: number) => Array.from({ length: count }, (_, index) => pauseBefore(fixed, index + 1, 0.7))

describe("planBackoff", () => {
  it("each pause in a row is twice the one before, up to the cap", () => {
    assert.deepStrictEqual(pauses(8), [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
    assert.strictEqual(pauseBefore({ ...fixed, factor: 1 }, 9, 0), 100)
    assert.strictEqual(pauseBefore(fixed, 10_000, 0), 5_000)
  })

  it("chance takes at most its part of a pause, and never adds to it", () => {
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(chance, fc.integer({ min: 1, max: 50 }), chance, (jitter, inARow, random) => {
        const whole = pauseBefore(fixed, inARow, 0)
        const pause = pauseBefore({ ...fixed, jitter }, inARow, random)
        return pause <= whole && pause >= Math.floor(whole * (1 - jitter))
      })
    )
    assert.strictEqual(pauseBefore({ initial: "1 second" }, 1, 0.999_999), 500)
  })

  it("a child that stayed up as long as the cap, or as it says, begins anew", () => {
    assert.strictEqual(restartsInARow(fixed, 4, 4_999), 5)
    assert.strictEqual(restartsInARow(fixed, 4, 5_000), 1)
    assert.strictEqual(restartsInARow({ ...fixed, reset: "1 minute" }, 4, 5_000), 5)
    assert.strictEqual(restartsInARow({ initial: "1 second" }, 4, 30_000), 1)
  })

  it("what makes no sense is told in words", () => {
    assert.isUndefined(problemOf(fixed))
    assert.match(problemOf({ initial: 0 }) ?? "", /initial/)
    assert.match(problemOf({ ...fixed, cap: "Infinity" }) ?? "", /cap/)
    assert.match(problemOf({ ...fixed, reset: -1 }) ?? "", /reset/)
    assert.match(problemOf({ ...fixed, factor: 0.5 }) ?? "", /factor/)
    assert.match(problemOf({ ...fixed, jitter: 2 }) ?? "", /jitter/)
    assert.match(problemOf({ ...fixed, jitter: Number.NaN }) ?? "", /jitter/)
  })
})
