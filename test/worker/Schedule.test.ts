import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import type { Waiting } from "../../services/worker/FairQueue.ts"
import { ageing } from "../../services/worker/Lane.ts"
import { type Quota, Schedule } from "../../services/worker/Schedule.ts"
import type { Ticket } from "../../services/worker/Ticket.ts"

interface Item {
  readonly number: number
  readonly ticket: Ticket
  /** Turns of its session before it came; below 0 for one that had its turn. */
  readonly cameAt: number
}

/** The schedule as plainly as it can be said, at whatever cost. Without quotas per key. */
class Model {
  /** Sessions in the order of their turns, with what is left of each one's turn. */
  lanes: Array<{ session: string; items: Array<Item>; credit: number }> = []
  running: Array<Item> = []
  reserved: Array<Ticket> = []
  readonly started: Array<number> = []
  private readonly turns = new Map<string, number>()
  isPaused = false

  permits: number
  readonly capacity: number
  readonly overflow: number
  readonly overflowAbove: number
  readonly quota: Quota

  constructor(options: Readonly<Record<"permits" | "capacity" | "overflow" | "overflowAbove", number>>, quota: Quota) {
    this.permits = options.permits
    this.capacity = options.capacity
    this.overflow = options.overflow
    this.overflowAbove = options.overflowAbove
    this.quota = quota
  }

  get waiting(): ReadonlyArray<Item> {
    return this.lanes.flatMap(({ items }) => items)
  }

  runningOf(session: string) {
    return this.running.filter(({ ticket }) => ticket.session === session).length
  }

  enqueue(number: number, ticket: Ticket) {
    const { session } = ticket
    const item: Item = { number, ticket, cameAt: this.turns.get(session) ?? 0 }
    const lane = this.lanes.find((lane) => lane.session === session)
    if (lane === undefined) this.lanes.push({ session, items: [item], credit: ticket.weight })
    else lane.items.push(item)
    this.grant()
  }

  requeue(item: Item) {
    this.end(item, false)
    const { session } = item.ticket
    const items = this.lanes.find((lane) => lane.session === session)?.items ?? []
    const credit = this.lanes.find((lane) => lane.session === session)?.credit ?? item.ticket.weight
    this.lanes = this.lanes.filter((lane) => lane.session !== session)
    this.lanes.unshift({ session, items: [{ ...item, cameAt: -1 }, ...items], credit })
    this.grant()
  }

  remove(number: number): boolean {
    const lane = this.lanes.find(({ items }) => items.some((item) => item.number === number))
    if (lane === undefined) return false
    lane.items = lane.items.filter((item) => item.number !== number)
    this.forget()
    return true
  }

  end(item: Item, isGranting = true) {
    this.running = this.running.filter((other) => other !== item)
    this.forget()
    if (isGranting) this.grant()
  }

  grant() {
    while (!this.isPaused) {
      const queued = this.waiting.length
      if (this.running.length >= this.permits + (queued > this.overflowAbove ? this.overflow : 0)) return
      const lane = this.lanes.find(({ session }) => this.runningOf(session) < this.quota.running)
      const item = lane === undefined ? undefined : this.nextOf(lane.items)
      if (lane === undefined || item === undefined) return
      lane.items = lane.items.filter((other) => other !== item)
      this.turns.set(lane.session, (this.turns.get(lane.session) ?? 0) + 1)
      this.running.push(item)
      this.started.push(item.number)
      if (--lane.credit === 0) {
        this.lanes = [...this.lanes.filter((other) => other !== lane), lane]
        lane.credit = item.ticket.weight
      }
      this.forget()
    }
  }

  nextOf(items: ReadonlyArray<Item>): Item | undefined {
    const rank = ({ cameAt, ticket }: Item) => (cameAt < 0 ? -1 : cameAt + (9 - ticket.priority) * ageing)
    return items.reduce<Item | undefined>(
      (best, item) =>
        best === undefined || rank(item) < rank(best) || (rank(item) === rank(best) && item.cameAt < best.cameAt)
          ? item
          : best,
      undefined
    )
  }

  private forget() {
    this.lanes = this.lanes.filter(({ items }) => items.length > 0)
    for (const session of this.turns.keys()) {
      const isThere = this.runningOf(session) > 0 || this.lanes.some((lane) => lane.session === session)
      if (!isThere) this.turns.delete(session)
    }
  }
}

const sessions = ["a", "b", "c", "d"]
const weights: Readonly<Record<string, number>> = { a: 1, b: 1, c: 2, d: 3 }
const keys: Readonly<Record<string, string>> = { a: "k", b: "k", c: "l", d: "k" }

const place = fc
  .record({ session: fc.constantFrom(...sessions), priority: fc.constantFrom(0, 4, 5, 9) })
  .map(({ priority, session }): Ticket => ({ session, priority, weight: weights[session] ?? 1, key: keys[session] }))

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("submit" as const), ticket: place }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reserve" as const), ticket: place }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("unreserve" as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("end" as const), which: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("requeue" as const), which: fc.nat(100) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat(1_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("expire" as const), count: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resize" as const), permits: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("pause" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resume" as const) }) }
)

const sizes = fc.record({
  permits: fc.integer({ min: 1, max: 4 }),
  capacity: fc.integer({ min: 0, max: 12 }),
  overflow: fc.integer({ min: 0, max: 2 }),
  overflowAbove: fc.integer({ min: 0, max: 4 })
})

const none: Quota = { running: Infinity, queued: Infinity }

const numRuns = process.env["ESPALIER_LONG"] === undefined ? 500 : 20_000

describe("Schedule", () => {
  const check = (
    options: Readonly<Record<"permits" | "capacity" | "overflow" | "overflowAbove", number>>,
    perSession: Quota,
    perKey: Quota,
    steps: ReadonlyArray<typeof step extends fc.Arbitrary<infer Step> ? Step : never>
  ) => {
    const isExact = perKey.running === Infinity && perSession.running === Infinity
    const started: Array<number> = []
    const tickets: Array<Ticket> = []
    const places: Array<Waiting<number> | undefined> = []
    const gone = new Set<number>()
    const startedAfterGone: Array<number> = []
    const running = new Set<number>()
    const requeued = new Set<number>()
    const schedule = new Schedule<number>({
      ...options,
      perSession,
      perKey,
      onGrant: (item) => {
        started.push(item)
        if (gone.has(item)) startedAfterGone.push(item)
        running.add(item)
      }
    })
    const model = new Model(options, perSession)
    let most = options.permits
    const inKey = (items: Iterable<number>, key: string | undefined) =>
      [...items].filter((item) => tickets[item]?.key === key).length
    const waiting = () =>
      places.flatMap((place, item) => (place !== undefined && !running.has(item) && !gone.has(item) ? [item] : []))
    for (const action of steps) {
      switch (action.do) {
        case "reserve":
          if (schedule.reserve(action.ticket) === undefined) model.reserved.push(action.ticket)
          break
        case "unreserve": {
          const ticket = model.reserved.pop()
          if (ticket !== undefined) schedule.unreserve(ticket)
          break
        }
        case "submit": {
          const refusal = schedule.reserve(action.ticket)
          if (
            isExact &&
            perSession.queued === Infinity &&
            perKey.queued === Infinity &&
            !model.isPaused &&
            model.running.length >= model.permits
          ) {
            const isFull = model.waiting.length + model.reserved.length >= options.capacity
            assert.strictEqual(refusal?._tag, isFull ? "Full" : undefined)
          }
          if (refusal !== undefined) break
          schedule.unreserve(action.ticket)
          const item = tickets.push(action.ticket) - 1
          places[item] = schedule.enqueue(action.ticket, item, item)
          if (isExact) model.enqueue(item, action.ticket)
          break
        }
        case "end": {
          const item = [...running][action.which % Math.max(1, running.size)]
          const ticket = item === undefined ? undefined : tickets[item]
          if (item === undefined || ticket === undefined) break
          running.delete(item)
          gone.add(item)
          schedule.release(ticket)
          const found = model.running.find(({ number }) => number === item)
          if (found !== undefined) model.end(found)
          break
        }
        case "requeue": {
          const item = [...running][action.which % Math.max(1, running.size)]
          const ticket = item === undefined ? undefined : tickets[item]
          if (item === undefined || ticket === undefined) break
          running.delete(item)
          requeued.add(item)
          places[item] = schedule.requeue(ticket, item)
          const found = model.running.find(({ number }) => number === item)
          if (found !== undefined) model.requeue(found)
          break
        }
        case "cancel": {
          const item = action.which % Math.max(1, tickets.length)
          const place = places[item]
          if (place === undefined) break
          const wasWaiting = waiting().includes(item)
          if (wasWaiting) gone.add(item)
          assert.strictEqual(schedule.remove(place), wasWaiting)
          if (isExact) assert.strictEqual(model.remove(item), wasWaiting)
          break
        }
        case "expire":
          for (let count = 0; count < action.count; count++) {
            const next = schedule.nextToExpire
            const impatient = waiting().filter((item) => !requeued.has(item))
            assert.strictEqual(next?.value, impatient.length === 0 ? undefined : Math.min(...impatient))
            if (next === undefined) break
            gone.add(next.value)
            assert.isTrue(schedule.remove(next))
            if (isExact) assert.isTrue(model.remove(next.value))
          }
          break
        case "resize":
          most = Math.max(most, action.permits)
          model.permits = action.permits
          schedule.resize(action.permits)
          model.grant()
          break
        case "pause":
          schedule.pause()
          model.isPaused = true
          break
        case "resume":
          schedule.resume()
          model.isPaused = false
          model.grant()
          break
      }
      const queued = waiting()
      assert.strictEqual(schedule.running, running.size)
      assert.strictEqual(schedule.queued, queued.length)
      assert.strictEqual(schedule.reserved, model.reserved.length)
      assert.isAtMost(schedule.running, most + options.overflow)
      // Free permits count as places, and may be taken away after that.
      assert.isAtMost(schedule.queued, options.capacity + most + options.overflow)
      for (const session of sessions) {
        const mine = [...running].filter((item) => tickets[item]?.session === session).length
        assert.isAtMost(mine, perSession.running)
      }
      for (const key of new Set(Object.values(keys))) assert.isAtMost(inKey(running, key), perKey.running)
      const isFree = !schedule.isPaused && schedule.running < schedule.permits
      if (isFree && queued.length > 0) {
        // Whoever waits while a permit is free is held back by a quota. Each session here has one key.
        for (const item of queued) {
          const { key, session } = tickets[item] ?? { key: undefined, session: "" }
          const mine = [...running].filter((other) => tickets[other]?.session === session).length
          assert.isTrue(mine >= perSession.running || inKey(running, key) >= perKey.running)
        }
      }
    }
    assert.deepStrictEqual(startedAfterGone, [])
    if (isExact) assert.deepStrictEqual(started, model.started)
    schedule.resume()
    while (running.size > 0) {
      const [item = -1] = running
      const ticket = tickets[item]
      if (ticket === undefined) break
      running.delete(item)
      schedule.release(ticket)
    }
    assert.strictEqual(schedule.queued, 0)
    for (const { queued, running } of schedule.sessions()) assert.strictEqual(queued + running, 0)
  }

  it("does what its plain model does, whatever happens in whatever order", () => {
    fc.assert(
      fc.property(sizes, fc.array(step, { maxLength: 200 }), (options, steps) => check(options, none, none, steps)),
      { numRuns }
    )
  })

  it("keeps every quota and leaves no permit idle that somebody may use", () => {
    const quota = fc.record({
      running: fc.constantFrom(1, 2, 3, Infinity),
      queued: fc.constantFrom(0, 1, 3, Infinity)
    })
    fc.assert(
      fc.property(sizes, quota, quota, fc.array(step, { maxLength: 200 }), (options, perSession, perKey, steps) =>
        check(options, perSession, perKey, steps)
      ),
      { numRuns }
    )
  })

  const ticket = (session: string, key?: string): Ticket => ({ session, key, priority: 5, weight: 1 })

  it("refuses what a session may not have waiting, by name and limit, and takes others", () => {
    const schedule = new Schedule<number>({
      permits: 1,
      capacity: 10,
      perSession: { running: Infinity, queued: 2 },
      onGrant: () => undefined
    })
    for (let index = 0; index < 3; index++) {
      assert.isUndefined(schedule.refusal(ticket("a")))
      schedule.enqueue(ticket("a"), index, Infinity)
    }
    assert.deepStrictEqual(schedule.refusal(ticket("a")), { _tag: "Quota", of: "session", quota: "queued", limit: 2 })
    assert.isUndefined(schedule.refusal(ticket("b")))
  })

  it("refuses at once what a key may not have running when it may not wait either", () => {
    const schedule = new Schedule<number>({
      permits: 3,
      capacity: 10,
      perKey: { running: 1, queued: 0 },
      onGrant: () => undefined
    })
    assert.isUndefined(schedule.reserve(ticket("a", "k")))
    assert.deepInclude(schedule.reserve(ticket("b", "k")), { of: "key", quota: "running", limit: 1 })
    assert.isUndefined(schedule.reserve(ticket("b", "other")))
  })

  it("starts what only a task before it in its session held back, when that one leaves", () => {
    const started: Array<number> = []
    const schedule = new Schedule<number>({
      permits: 3,
      capacity: 10,
      perKey: { running: 1, queued: Infinity },
      onGrant: (item) => started.push(item)
    })
    schedule.enqueue(ticket("a", "k"), 1, Infinity)
    const held = schedule.enqueue(ticket("b", "k"), 2, Infinity)
    schedule.enqueue(ticket("b", "other"), 3, Infinity)
    assert.deepStrictEqual(started, [1])
    schedule.remove(held)
    assert.deepStrictEqual(started, [1, 3])
  })

  it("opens permits beyond its own for what waits above the mark, each for one task", () => {
    const schedule = new Schedule<number>({
      permits: 2,
      capacity: 10,
      overflow: 2,
      overflowAbove: 3,
      onGrant: () => undefined
    })
    const submit = (count: number) => {
      for (let index = 0; index < count; index++) schedule.enqueue(ticket("a"), index, Infinity)
    }
    submit(5)
    assert.deepInclude(schedule, { running: 2, queued: 3 })
    submit(1)
    assert.deepInclude(schedule, { running: 3, queued: 3 })
    submit(2)
    assert.deepInclude(schedule, { running: 4, queued: 4 })
    schedule.release(ticket("a"))
    assert.deepInclude(schedule, { running: 4, queued: 3 })
    schedule.release(ticket("a"))
    schedule.release(ticket("a"))
    assert.deepInclude(schedule, { running: 2, queued: 3 })
  })
})
