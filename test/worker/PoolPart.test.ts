import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { PoolPart } from "../../layers/worker/PoolPart.ts"
import type { Entry } from "../../layers/worker/PoolEntry.ts"
import { resolvePools } from "../../services/worker/PoolLimits.ts"
import { RecentWaits } from "../../services/worker/RecentWaits.ts"

const part = (granted: Array<Entry> = []) => {
  const limits = resolvePools({ tools: { queue: 1_000 } }).pools.get("tools")
  if (limits === undefined) throw new Error("there always is a pool of that name")
  return new PoolPart<Entry>("tools", limits, (entry) => granted.push(entry))
}

describe("RecentWaits", () => {
  it("tells what part of the newest thousand waited how long", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(10_000), { minLength: 1, maxLength: 3_000 }), (all) => {
        const waits = new RecentWaits()
        for (const wait of all) waits.add(wait)
        const newest = all.slice(-1_000).sort((left, right) => left - right)
        const [p50, p99, p100] = waits.quantiles(0.5, 0.99, 1)
        assert.strictEqual(p50, newest[Math.ceil(newest.length * 0.5) - 1])
        assert.strictEqual(p99, newest[Math.ceil(newest.length * 0.99) - 1])
        assert.strictEqual(p100, newest.at(-1))
      }),
      { numRuns: 50 }
    )
    assert.deepStrictEqual(new RecentWaits().quantiles(0.5), [0])
  })
})

describe("a pool's status", () => {
  it("shows the twenty sessions with most tasks, and how many there are", () => {
    const pool = part()
    for (let session = 0; session < 50; session++) {
      for (let task = 0; task <= session; task++) {
        const ticket = { session: `ses_${session}`, key: undefined, priority: 5, weight: 1 }
        pool.schedule.enqueue(ticket, undefined as unknown as Entry, Infinity)
      }
    }
    const { queued, running, sessionCount, sessions } = pool.status(0)
    assert.strictEqual(sessionCount, 50)
    assert.deepStrictEqual(
      sessions.map(({ queued, running }) => queued + running),
      Array.from({ length: 20 }, (_, index) => 50 - index)
    )
    assert.strictEqual(queued + running, (50 * 51) / 2)
  })

  it("remembers the newest fifty changes of its size", () => {
    const pool = part()
    for (let at = 0; at < 80; at++) pool.resize(1 + (at % 2), "operator", "asked for", at)
    const { scaling } = pool.status(0)
    assert.deepStrictEqual([scaling.length, scaling[0]?.at, scaling.at(-1)?.at], [50, 30, 79])
  })

  it("tells how long a task runs as a mean in which the newest count most", () => {
    const pool = part()
    assert.isUndefined(pool.status(0).runTime)
    for (let run = 0; run < 20; run++) pool.ran(1_000)
    for (let run = 0; run < 20; run++) pool.ran(100)
    assert.closeTo(pool.status(0).runTime ?? 0, 110, 10)
  })
})
