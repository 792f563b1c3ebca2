import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { FairQueue, type Waiting } from "../../services/worker/FairQueue.ts"
import { Schedule } from "../../services/worker/Schedule.ts"

describe("FairQueue", () => {
  const drain = <A>(queue: FairQueue<A>): ReadonlyArray<A> => {
    const taken: Array<A> = []
    for (let value = queue.take(); value !== undefined; value = queue.take()) taken.push(value)
    return taken
  }

  it("lets keys take turns and keeps the order within each", () => {
    const queue = new FairQueue<string>()
    for (const value of ["a1", "a2", "a3", "b1", "c1", "c2"]) queue.push(value.slice(0, 1), value, Infinity)
    assert.deepStrictEqual(drain(queue), ["a1", "b1", "c1", "a2", "c2", "a3"])
  })

  it("puts a key that comes back behind the others", () => {
    const queue = new FairQueue<string>()
    queue.push("a", "a1", Infinity)
    queue.push("b", "b1", Infinity)
    assert.strictEqual(queue.take(), "a1")
    queue.push("a", "a2", Infinity)
    assert.deepStrictEqual(drain(queue), ["b1", "a2"])
  })

  it("takes an item out of the middle, once", () => {
    const queue = new FairQueue<string>()
    queue.push("a", "a1", 10)
    const second = queue.push("a", "a2", 20)
    queue.push("a", "a3", 30)
    assert.isTrue(queue.remove(second))
    assert.isFalse(queue.remove(second))
    assert.strictEqual(queue.size, 2)
    assert.deepStrictEqual(drain(queue), ["a1", "a3"])
    assert.isFalse(queue.remove(second))
  })

  it("knows whose patience ends first, and lets some wait as long as it takes", () => {
    const queue = new FairQueue<string>()
    queue.unshift("a", "patient")
    const first = queue.push("a", "first", 10)
    queue.push("b", "second", 20)
    assert.strictEqual(queue.nextToExpire?.value, "first")
    queue.remove(first)
    assert.strictEqual(queue.nextToExpire?.value, "second")
    assert.strictEqual(queue.take(), "patient")
    assert.strictEqual(queue.take(), "second")
    assert.isUndefined(queue.nextToExpire)
  })

  it("puts what had its turn before all others", () => {
    const queue = new FairQueue<string>()
    for (const value of ["a1", "b1", "c1", "c2"]) queue.push(value.slice(0, 1), value, Infinity)
    queue.unshift("c", "c0")
    queue.unshift("d", "d0")
    assert.deepStrictEqual(drain(queue), ["d0", "c0", "a1", "b1", "c1", "c2"])
  })
})

/** The schedule as plainly as it can be said, at whatever cost. */
class Model {
  /** Keys in the order of their turns, each with its items. */
  lanes: Array<{ key: string; items: Array<number> }> = []
  running: Array<number> = []
  reserved = 0
  readonly started: Array<number> = []
  readonly permits: number
  readonly capacity: number

  constructor(permits: number, capacity: number) {
    this.permits = permits
    this.capacity = capacity
  }

  get queued() {
    return this.lanes.reduce((sum, { items }) => sum + items.length, 0)
  }

  enqueue(key: string, item: number) {
    const lane = this.lanes.find((lane) => lane.key === key)
    if (lane === undefined) this.lanes.push({ key, items: [item] })
    else lane.items.push(item)
    this.grant()
  }

  requeue(key: string, item: number) {
    this.running = this.running.filter((other) => other !== item)
    const items = this.lanes.find((lane) => lane.key === key)?.items ?? []
    this.lanes = [{ key, items: [item, ...items] }, ...this.lanes.filter((lane) => lane.key !== key)]
    this.grant()
  }

  remove(item: number): boolean {
    const lane = this.lanes.find(({ items }) => items.includes(item))
    if (lane === undefined) return false
    lane.items = lane.items.filter((other) => other !== item)
    this.lanes = this.lanes.filter(({ items }) => items.length > 0)
    return true
  }

  release(item: number) {
    this.running = this.running.filter((other) => other !== item)
    this.grant()
  }

  private grant() {
    while (this.running.length < this.permits) {
      const lane = this.lanes.shift()
      const item = lane?.items.shift()
      if (lane === undefined || item === undefined) return
      if (lane.items.length > 0) this.lanes.push(lane)
      this.running.push(item)
      this.started.push(item)
    }
  }
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("submit" as const), key: fc.constantFrom("a", "b", "c", "d") }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reserve" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("unreserve" as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("end" as const), which: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("requeue" as const), which: fc.nat(100) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat(1_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("expire" as const), count: fc.nat(3) }) }
)

describe("Schedule", () => {
  it("does what its plain model does, whatever happens in whatever order", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 8 }),
        fc.array(step, { maxLength: 200 }),
        (permits, capacity, steps) => {
          const started: Array<number> = []
          const schedule = new Schedule<number>({ permits, capacity, onGrant: (item) => started.push(item) })
          const model = new Model(permits, capacity)
          const keys: Array<string> = []
          const places: Array<Waiting<number> | undefined> = []
          const cancelled = new Set<number>()
          let reserved = 0
          for (const action of steps) {
            switch (action.do) {
              case "reserve": {
                const fits = model.running.length + model.queued + reserved < permits + capacity
                assert.strictEqual(schedule.reserve(), fits)
                if (fits) reserved++
                break
              }
              case "unreserve": {
                if (reserved === 0) break
                schedule.unreserve()
                reserved--
                break
              }
              case "submit": {
                if (!schedule.reserve()) break
                schedule.unreserve()
                const item = keys.push(action.key) - 1
                places[item] = schedule.enqueue(action.key, item, item)
                model.enqueue(action.key, item)
                break
              }
              case "end": {
                const item = model.running[action.which % Math.max(1, model.running.length)]
                if (item === undefined) break
                schedule.release()
                model.release(item)
                break
              }
              case "requeue": {
                const item = model.running[action.which % Math.max(1, model.running.length)]
                const key = item === undefined ? undefined : keys[item]
                if (item === undefined || key === undefined) break
                model.requeue(key, item)
                places[item] = schedule.requeue(key, item)
                break
              }
              case "cancel": {
                const item = action.which % Math.max(1, keys.length)
                const place = places[item]
                if (place === undefined) break
                const wasWaiting = model.remove(item)
                assert.strictEqual(schedule.remove(place), wasWaiting)
                if (wasWaiting) cancelled.add(item)
                break
              }
              case "expire": {
                for (let count = 0; count < action.count; count++) {
                  const next = schedule.nextToExpire
                  if (next === undefined) break
                  // Of those that were never requeued, the one that came first.
                  const waiting = model.lanes.flatMap(({ items }) => items)
                  const impatient = waiting.filter((item) => places[item]?.expiresAt !== Infinity)
                  assert.strictEqual(next.value, Math.min(...impatient))
                  assert.isTrue(schedule.remove(next))
                  assert.isTrue(model.remove(next.value))
                  cancelled.add(next.value)
                }
                break
              }
            }
            assert.strictEqual(schedule.running, model.running.length)
            assert.strictEqual(schedule.queued, model.queued)
            assert.strictEqual(schedule.reserved, reserved)
            assert.isAtMost(schedule.running, permits)
            assert.isAtMost(schedule.queued, capacity)
            if (schedule.queued > 0) assert.strictEqual(schedule.running, permits)
          }
          assert.deepStrictEqual(started, model.started)
          for (const item of cancelled) {
            // One that ran, was put back and then cancelled has started before, never after.
            assert.isFalse(model.running.includes(item))
          }
          while (schedule.running > 0) schedule.release()
          assert.strictEqual(schedule.queued, 0)
        }
      ),
      { numRuns: 500 }
    )
  })
})
