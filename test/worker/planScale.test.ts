import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Forecast from "../../services/worker/Forecast.ts"
import { type Bounds, initial, limits, planScale, planWarmUp, type Sample } from "../../services/worker/planScale.ts"
import type { Scaling } from "../../services/worker/PoolLimits.ts"

const scaling: Scaling = { mode: "reactive", wait: 2_000, cooldown: 30_000, step: 4 }
const bounds: Bounds = { min: 2, max: 16 }

const idle = { running: 0, queued: 0, arrived: 0, waited: 0, runTime: 1_000, cpu: 0, eventLoopDelay: 0 }

interface Step {
  readonly at: number
  readonly from: number
  readonly to: number
  readonly reason: string
}

/** A pool of which each second says what is asked of it. */
const simulate = (
  seconds: number,
  demand: (second: number, permits: number) => Partial<Sample>,
  given: { readonly scaling?: Partial<Scaling>; readonly bounds?: Bounds; readonly permits?: number } = {}
) => {
  const { max, min } = given.bounds ?? bounds
  let permits = given.permits ?? min
  let memory = initial
  const steps: Array<Step> = []
  const sizes: Array<number> = []
  for (let second = 0; second < seconds; second++) {
    const at = second * 1_000
    const sample: Sample = { at, permits, ...idle, ...demand(second, permits) }
    const plan = planScale(memory, sample, { ...scaling, ...given.scaling }, { min, max })
    memory = plan.memory
    if (plan.step !== undefined) {
      steps.push({ at, from: permits, ...plan.step })
      permits = plan.step.to
    }
    sizes.push(permits)
  }
  return { steps, sizes, permits }
}

/** All permits are in use, and so many tasks wait besides. */
const busy = (queued: number) => (_: number, permits: number) => ({ running: permits, queued })

const reversals = (steps: ReadonlyArray<Step>) =>
  steps.flatMap((step, index) => {
    const before = steps[index - 1]
    return before !== undefined && Math.sign(before.to - before.from) !== Math.sign(step.to - step.from)
      ? [step.at]
      : []
  })

describe("planScale", () => {
  it("stays as it is while nothing waits and everything is used", () => {
    assert.deepStrictEqual(simulate(600, busy(0), { permits: 8 }).steps, [])
  })

  it("grows at once, by its step a second, to what starts all that wait in time", () => {
    const { sizes, steps } = simulate(10, (second, permits) => ({
      running: Math.min(permits, 12),
      queued: permits < 12 ? 24 : 0,
      waited: second * 1_000
    }))
    assert.deepStrictEqual(sizes.slice(0, 4), [6, 10, 14, 14])
    assert.match(steps[0]?.reason ?? "", /24 wait/)
  })

  it("reaches its largest size within five seconds, whatever its bounds", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 128 }), fc.integer({ min: 1, max: 128 }), (min, more) => {
        const max = min + more
        const step = Math.max(1, Math.ceil((max - min) / 4))
        const { sizes } = simulate(5, busy(100_000), { bounds: { min, max }, scaling: { step } })
        assert.strictEqual(sizes.at(-1), max)
      })
    )
  })

  it("grows by one for a first in line that waits too long, though the mean says it need not", () => {
    const { permits } = simulate(1, () => ({ running: 2, queued: 1, waited: 2_001, runTime: 1 }))
    assert.strictEqual(permits, 3)
  })

  it("does not grow while the process is at its limits", () => {
    for (const overload of [{ cpu: limits.cpu }, { eventLoopDelay: limits.eventLoopDelay }]) {
      const { steps } = simulate(60, (_, permits) => ({ ...busy(50)(0, permits), ...overload }))
      assert.deepStrictEqual(steps, [])
    }
  })

  it("shrinks when it was calm for a whole cool-down, to the most that was needed in that time", () => {
    const { permits, steps } = simulate(45, (second) => ({ running: second % 10 === 0 ? 5 : 1 }), { permits: 16 })
    assert.strictEqual(permits, 5)
    assert.strictEqual(steps[0]?.at, 30_000)
    assert.include(steps[0]?.reason, "at most 5 were needed")
  })

  it("does not shrink for less than a quarter", () => {
    assert.deepStrictEqual(simulate(300, () => ({ running: 7 }), { permits: 8 }).steps, [])
  })

  it("goes back within its bounds when they have changed", () => {
    assert.strictEqual(simulate(1, () => ({}), { permits: 20 }).permits, 16)
    assert.strictEqual(simulate(1, () => ({}), { permits: 1 }).permits, 2)
  })

  it("autoscale-flap: turns at most once in a cool-down, whatever the period of a square wave, and never leaves its bounds", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 1, max: 60 }),
        fc.constantFrom("reactive" as const, "predictive" as const),
        (on, off, cooldown, mode) => {
          const isOn = (second: number) => second % (on + off) < on
          const { sizes, steps } = simulate(
            600,
            (second, permits) => (isOn(second) ? { running: permits, queued: 40, arrived: 20 } : { running: 0 }),
            { scaling: { mode, cooldown: cooldown * 1_000 } }
          )
          const turns = reversals(steps)
          turns.forEach((at, index) => assert.isAtLeast(at - (turns[index - 1] ?? -Infinity), cooldown * 1_000))
          for (const size of sizes) assert.isTrue(size >= bounds.min && size <= bounds.max)
        }
      )
    )
  })

  it("predicts a load that grows, and is there before it is", () => {
    // Two more arrivals a second each second, of half a second each: one more permit is needed each second.
    const ramp = (second: number, permits: number) => {
      const needed = second
      return {
        arrived: 2 * second,
        runTime: 500,
        running: Math.min(permits, needed),
        queued: Math.max(0, needed - permits)
      }
    }
    const sizesOf = (mode: Scaling["mode"]) =>
      simulate(30, ramp, { scaling: { mode }, bounds: { min: 2, max: 64 } }).sizes.map((size, second) => size - second)
    const late = sizesOf("reactive").filter((spare) => spare < 1).length
    const predicted = sizesOf("predictive").slice(10)
    assert.isAbove(late, 0)
    assert.isTrue(
      predicted.every((spare) => spare >= 1),
      predicted.join()
    )
    assert.isBelow(Math.max(...predicted), 16)
  })
})

describe("Forecast", () => {
  const observe = (rates: ReadonlyArray<number>) =>
    rates.reduce((forecast, rate, second) => Forecast.observe(forecast, second * 1_000, rate), Forecast.initial)

  it("expects a steady load to stay and a growing one to grow", () => {
    assert.closeTo(Forecast.ahead(observe(Array.from({ length: 100 }, () => 10)), 5_000), 10, 0.1)
    assert.closeTo(Forecast.ahead(observe(Array.from({ length: 100 }, (_, second) => second)), 5_000), 104, 1)
  })

  it("expects nothing less than nothing", () => {
    const falling = observe([...Array.from({ length: 20 }, (_, second) => 100 - 5 * second), 0, 0, 0])
    assert.strictEqual(Forecast.ahead(falling, 60_000), 0)
  })

  it("is not confused by looks at uneven times", () => {
    let forecast = Forecast.observe(Forecast.initial, 0, 0)
    for (let at = 0, index = 0; at < 100_000; index++) {
      const passed = index % 2 === 0 ? 500 : 1_500
      at += passed
      forecast = Forecast.observe(forecast, at, passed / 100)
    }
    assert.closeTo(Forecast.ahead(forecast, 0), 10, 0.1)
  })
})

describe("planWarmUp", () => {
  it("opens evenly, and is open when its time is over", () => {
    assert.deepStrictEqual(
      [0, 2_500, 5_000, 9_999, 10_000, 99_999].map((since) => planWarmUp(since, 10_000, 2, 6)),
      [2, 3, 4, 5, 6, 6]
    )
  })
})
