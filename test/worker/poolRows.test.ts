/** What the pool must stand, row by row of what is promised: overflow, patience, fairness, callers that go, crashes, a flapping load. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Random } from "effect"
import { TestClock } from "effect/testing"
import * as BoundedWorkerPool from "../../layers/worker/BoundedWorkerPool.ts"
import { Workers } from "../../services/supervision/Places.ts"
import { ToolFailure } from "../../services/tools/Tool.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { endsOf } from "../contracts/WorkerPool.ts"
import { eventually, inTime } from "../support/eventually.ts"
import { layerDurable, layerProcess, PoolWorld } from "../support/PoolWorld.ts"

const isLong = process.env["ESPALIER_LONG"] !== undefined
const REQUESTS = isLong ? 100_000 : 5_000

const environment = (options: BoundedWorkerPool.Options = {}) =>
  Layer.provideMerge(Layer.provideMerge(BoundedWorkerPool.layer(options), layerProcess), layerDurable)

/** How alike shares are: 1 when all are the same, 1/n when one has everything. */
const jain = (shares: ReadonlyArray<number>) => {
  const sum = shares.reduce((all, share) => all + share, 0)
  return (sum * sum) / (shares.length * shares.reduce((all, share) => all + share * share, 0))
}

const untilAtRest = Effect.fnUntraced(function* (pool: WorkerPool["Service"]) {
  const isAtRest = Effect.map(pool.load, ({ queued, running }) => queued + running === 0)
  while (!(yield* isAtRest)) yield* TestClock.adjust(10)
  // The last end is told a moment after its permit is free.
  yield* TestClock.adjust(10)
})

const quiet = { cpu: 0, eventLoopDelay: 0 }

describe("the pool", () => {
  it.effect(
    `pool-overflow: of ${REQUESTS} requests into 3 slots and a queue of 50 never more run or wait, the rest is refused, and what was accepted ends`,
    () =>
      Effect.gen(function* () {
        const world = yield* PoolWorld
        const pool = yield* WorkerPool
        let mostQueued = 0
        let accepted = 0
        let refused = 0
        const cancelled: Array<WorkerId> = []
        yield* Effect.forEach(
          Array.from({ length: REQUESTS }, (_, index) => index),
          Effect.fnUntraced(function* (index) {
            // Some end well, some fail, some are cancelled.
            const failure = new ToolFailure({ code: "broken", message: "broken" })
            world.program(`t${index}`, index % 3 === 1 ? Effect.succeed("done") : Effect.fail(failure))
            const result = yield* Effect.result(pool.submit(world.task(`t${index}`, { session: `s${index % 11}` })))
            const { queued } = yield* pool.load
            mostQueued = Math.max(mostQueued, queued)
            if (result._tag === "Failure") {
              assert.strictEqual(result.failure._tag, "PoolSaturated")
              refused++
              return
            }
            accepted++
            if (index % 3 === 0) cancelled.push(result.success)
          }),
          { concurrency: 100, discard: true }
        )
        yield* Effect.forEach(cancelled, (id) => Effect.ignore(pool.cancel(id, "overflow")), { discard: true })
        yield* untilAtRest(pool)
        const status = yield* pool.status
        assert.strictEqual(accepted + refused, REQUESTS)
        assert.deepInclude(status, { running: 0, queued: 0, refused })
        assert.strictEqual(status.completed + status.failed + status.cancelled, accepted)
        assert.isAtMost(world.mostRunning, 3)
        assert.isAtMost(mostQueued, 50)
        assert.isAbove(refused, 0)
      }).pipe(Effect.provide(environment())),
    120_000
  )

  it.effect("pool-queue-timeout: each waiter is answered at 30 s to the millisecond, and never starts afterwards", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      for (let index = 0; index < 3; index++) yield* pool.submit(world.task(`running ${index}`))
      const waiting: Array<WorkerId> = []
      for (let index = 0; index < 50; index++) {
        yield* TestClock.adjust(7)
        const priority = index % 10
        waiting.push(yield* pool.submit({ ...world.task(`waits ${index}`, { session: `s${index % 4}` }), priority }))
      }
      yield* TestClock.adjust("31 seconds")
      yield* eventually("all answered", () => waiting.every((id) => world.eventsOf(id).includes("WorkerFailed")))
      for (const id of waiting) {
        const { endedAt = 0, failure, queuedAt } = yield* pool.get(id)
        assert.deepStrictEqual([failure?.code, endedAt - queuedAt], ["queue_timeout", 30_000])
      }
      for (let index = 0; index < 3; index++) yield* world.finish(`running ${index}`)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(world.starts.length, 3)
      assert.deepInclude((yield* pool.status).pools[0], { timedOut: 50, failed: 50, completed: 3, queued: 0 })
    }).pipe(Effect.provide(environment()))
  )

  it.effect(
    "pool-fairness: one session sends 1,000 and nine send 10; none of the nine waits twice its fair share, and Jain's index is 0.95 at least",
    () =>
      Effect.gen(function* () {
        const world = yield* PoolWorld
        const pool = yield* WorkerPool
        const permits = 3
        const startedAt = new Map<string, number>()
        const submit = (session: string, index: number) => {
          const name = `${session} ${index}`
          const begin = Effect.map(Clock.currentTimeMillis, (at) => void startedAt.set(name, at))
          world.program(name, Effect.andThen(begin, Effect.as(Effect.sleep(1_000), "done")))
          return pool.submit(world.task(name, { session }))
        }
        for (let index = 0; index < 1_000; index++) yield* submit("greedy", index)
        const others = Array.from({ length: 9 }, (_, index) => `other${index}`)
        for (let index = 0; index < 10; index++) for (const session of others) yield* submit(session, index)
        const from = yield* Clock.currentTimeMillis
        // Ten sessions share three permits: the tenth task of each is due after ten times ten tasks.
        for (let second = 0; second < 40; second++) yield* TestClock.adjust(1_000)
        for (const session of others) {
          for (let index = 0; index < 10; index++) {
            const at = startedAt.get(`${session} ${index}`) ?? Infinity
            const fair = Math.ceil(((index + 1) * 10) / permits) * 1_000
            assert.isAtMost(at - from, 2 * fair, `${session} ${index}`)
          }
        }
        const until = Math.max(...others.map((session) => startedAt.get(`${session} 9`) ?? Infinity))
        const shares = ["greedy", ...others].map(
          (session) => [...startedAt].filter(([name, at]) => name.startsWith(`${session} `) && at <= until).length
        )
        assert.isAtLeast(jain(shares), 0.95, shares.join())
      }).pipe(Effect.provide(environment({ capacity: 1_100, patience: "1 hour" }))),
    60_000
  )

  it.effect(
    `pool-caller-dies: of ${REQUESTS} callers some go while they are let in, some while they wait or run, and no permit and no place is lost`,
    () =>
      Effect.gen(function* () {
        const world = yield* PoolWorld
        const pool = yield* WorkerPool
        const one = Effect.fnUntraced(function* (index: number) {
          const task = world.task(`t${index}`, { session: `s${index % 5}` })
          world.program(`t${index}`, Effect.as(Effect.yieldNow, "done"))
          const dice = yield* Random.nextIntBetween(0, 4)
          // Let in, and gone before it used its place.
          if (dice === 0) return yield* Effect.ignore(Effect.flatMap(pool.admit(task), ({ release }) => release))
          const caller = yield* Effect.forkChild(pool.submit(task), { startImmediately: true })
          // Gone in the middle of it: what was journaled is there, what was not has left no trace.
          if (dice === 1) return yield* Fiber.interrupt(caller)
          const id = yield* Effect.option(Fiber.join(caller))
          const turns = yield* Random.nextIntBetween(0, 12)
          for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
          if (dice === 2 && id._tag === "Some") yield* Effect.ignore(pool.cancel(id.value, "its caller is gone"))
        })
        yield* Effect.forEach(
          Array.from({ length: REQUESTS }, (_, index) => index),
          one,
          { concurrency: 40, discard: true }
        )
        yield* untilAtRest(pool)
        const { cancelled, completed, failed, pools } = yield* pool.status
        assert.strictEqual(failed, 0)
        assert.isAbove(Math.min(completed, cancelled), 0)
        assert.deepInclude(pools[0], { running: 0, queued: 0, sessionCount: 0 })
        // All places are there again, and not one more.
        for (let index = 0; index < 53; index++) yield* pool.admit(world.task("again"))
        yield* Effect.flip(pool.admit(world.task("one too many")))
      }).pipe(Effect.provide(environment())),
    120_000
  )

  it.live(
    "pool-crash: killed with work queued it is back within half a second; nothing is lost and nothing runs twice",
    () =>
      Effect.gen(function* () {
        const world = yield* PoolWorld
        const pool = yield* WorkerPool
        const workers = yield* Workers
        const ids: Array<WorkerId> = []
        for (let index = 0; index < 50; index++) {
          world.program(`t${index}`, Effect.as(Effect.sleep(5), "done"))
          ids.push(yield* pool.submit(world.task(`t${index}`, { session: `s${index % 3}` })))
        }
        for (let crash = 0; crash < 2; crash++) {
          const before = performance.now()
          const started = world.starts.length
          yield* workers.crashChild("pool")
          yield* inTime(
            "it starts tasks again",
            Effect.sync(() => world.starts.length > Math.min(started + 3, 49))
          )
          assert.isBelow(performance.now() - before, 500)
        }
        yield* inTime(
          "all done",
          Effect.map(pool.status, ({ completed }) => completed === ids.length)
        )
        assert.strictEqual(world.starts.length, 50)
        assert.strictEqual(new Set(world.starts).size, 50)
        for (const id of ids) assert.strictEqual((yield* endsOf(id)).length, 1)
      }).pipe(Effect.provide(environment()))
  )

  /** The 99th of a hundred times from submit to end of nine modest sessions, and what the greedy one was told. */
  const modestSessions = Effect.fnUntraced(function* (greedy: number) {
    const world = yield* PoolWorld
    const pool = yield* WorkerPool
    const took: Array<number> = []
    const told = new Map<string, number>()
    let name = 0
    const submit = (session: string, onEnd: Effect.Effect<void>) => {
      world.program(`t${++name}`, Effect.as(Effect.andThen(Effect.sleep(1_000), onEnd), "done"))
      return Effect.result(pool.submit(world.task(`t${name}`, { session })))
    }
    for (let second = 0; second < 120; second++) {
      for (let index = 0; index < greedy; index++) {
        const result = yield* submit("greedy", Effect.void)
        const answer = result._tag === "Failure" ? result.failure._tag : "accepted"
        told.set(answer, (told.get(answer) ?? 0) + 1)
      }
      for (let session = 0; session < 9; session++) {
        if ((second + session) % 6 !== 0) continue
        const from = yield* Clock.currentTimeMillis
        const result = yield* submit(
          `modest${session}`,
          Effect.map(Clock.currentTimeMillis, (at) => void took.push(at - from))
        )
        assert.strictEqual(result._tag, "Success")
      }
      yield* TestClock.adjust(1_000)
    }
    took.sort((left, right) => left - right)
    return { told, p99: took[Math.ceil(took.length * 0.99) - 1] ?? Infinity }
  })

  it.effect(
    "resource-abuse: a session at a hundred times its quota is refused by it, and others take at most twice as long",
    () =>
      Effect.gen(function* () {
        const quota = { running: 1, queued: 2, perMinute: 60 }
        const withQuotas = environment({ pools: { tools: { perSession: quota } } })
        const alone = yield* Effect.provide(modestSessions(0), Layer.fresh(withQuotas))
        const beside = yield* Effect.provide(modestSessions(100), Layer.fresh(withQuotas))
        assert.isAtMost(beside.p99, 2 * alone.p99)
        assert.deepStrictEqual(new Set(beside.told.keys()), new Set(["accepted", "QuotaExceeded"]))
        assert.isAtMost(beside.told.get("accepted") ?? 0, 60 + 2 * 60)
      })
  )

  const scaling = {
    permits: 2,
    queue: 1_000,
    patience: "10 minutes",
    min: 2,
    max: 10,
    scaling: { cooldown: "20 seconds", wait: "2 seconds" }
  } as const

  it.effect("autoscale-flap: a square wave is answered within five seconds, and by one turn a cool-down at most", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      let name = 0
      const submit = Effect.suspend(() => {
        world.program(`t${++name}`, Effect.as(Effect.sleep(2_000), "done"))
        return pool.submit(world.task(`t${name}`))
      })
      let reachedAfter = Infinity
      for (let second = 0; second < 240; second++) {
        const isOn = second % 30 < 12
        if (isOn) for (let index = 0; index < 8; index++) yield* submit
        yield* TestClock.adjust(1_000)
        const { permits } = yield* pool.status
        assert.isTrue(permits >= 2 && permits <= 10)
        if (permits === 10) reachedAfter = Math.min(reachedAfter, second)
      }
      // Two seconds pass before the queue says that two permits are too few.
      assert.isAtMost(reachedAfter, 5)
      const [part] = (yield* pool.status).pools
      const steps = part?.scaling ?? []
      assert.isAbove(steps.length, 1)
      assert.isTrue(steps.every(({ by, reason }) => by === "autoscaler" && reason !== ""))
      const turns = steps.filter((step, index) => {
        const before = steps[index - 1]
        return before !== undefined && Math.sign(step.to - step.from) !== Math.sign(before.to - before.from)
      })
      turns.forEach(({ at }, index) => assert.isAtLeast(at - (turns[index - 1]?.at ?? -Infinity), 20_000))
      const told = world.published.filter(({ event }) => event._tag === "PoolResized")
      assert.strictEqual(told.length, steps.length)
    }).pipe(
      Effect.provide(environment({ pools: { tools: scaling }, processLoad: Effect.succeed(Effect.succeed(quiet)) }))
    )
  )

  it.effect("does not grow while the process is at its limits, and scales nothing that was not asked to", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      world.addTool("fixed", { pool: "fixed" })
      for (let index = 0; index < 20; index++) {
        yield* pool.submit(world.task(`t${index}`))
        yield* pool.submit(world.task(`f${index}`, { tool: "fixed" }))
      }
      yield* TestClock.adjust("1 minute")
      const { pools } = yield* pool.status
      assert.deepStrictEqual(
        pools.map(({ permits, scaling }) => [permits, scaling.length]),
        [
          [2, 0],
          [1, 0]
        ]
      )
    }).pipe(
      Effect.provide(
        environment({
          pools: { tools: scaling, fixed: { permits: 1, patience: "1 hour" } },
          processLoad: Effect.succeed(Effect.succeed({ cpu: 1, eventLoopDelay: 0 }))
        })
      )
    )
  )

  it.effect("begins to scale when it is told to while it runs", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      for (let index = 0; index < 20; index++) yield* pool.submit(world.task(`t${index}`))
      yield* TestClock.adjust("5 seconds")
      yield* pool.resize("tools", { min: 1, max: 6 })
      yield* TestClock.adjust("10 seconds")
      yield* eventually("six run", () => world.running === 6)
      assert.deepInclude((yield* pool.status).pools[0], { permits: 6, min: 1, max: 6 })
    }).pipe(Effect.provide(environment({ permits: 1, processLoad: Effect.succeed(Effect.succeed(quiet)) })))
  )

  it.effect("warm-up: opens from its least to its usual permits over its time, however much waits", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      for (let index = 0; index < 20; index++) yield* pool.submit(world.task(`t${index}`))
      yield* eventually("one runs", () => world.running === 1)
      const seen: Array<number> = []
      for (let second = 0; second < 12; second++) {
        yield* TestClock.adjust(1_000)
        seen.push((yield* pool.status).permits)
      }
      assert.deepStrictEqual(seen, [1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5])
      const { scaling = [] } = (yield* pool.status).pools[0] ?? {}
      assert.deepStrictEqual(new Set(scaling.map(({ by }) => by)), new Set(["warm_up"]))
    }).pipe(
      Effect.provide(
        environment({
          pools: { tools: { min: 1, permits: 5, max: 5, warmUp: "10 seconds" } },
          processLoad: Effect.succeed(Effect.succeed({ cpu: 1, eventLoopDelay: 0 }))
        })
      )
    )
  )
})
