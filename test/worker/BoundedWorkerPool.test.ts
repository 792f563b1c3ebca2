import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as BoundedWorkerPool from "../../layers/worker/BoundedWorkerPool.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { StorageFull } from "../../services/journal/StorageError.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { ToolExecutors, Workers } from "../../services/supervision/Places.ts"
import { SupervisorStopped } from "../../services/supervision/Supervisor.ts"
import { ToolCall } from "../../services/tools/Tool.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { endsOf, type Options, workerPoolContract } from "../contracts/WorkerPool.ts"
import { eventually } from "../support/eventually.ts"
import { layerDurable, layerProcess, PoolWorld } from "../support/PoolWorld.ts"

describe("WorkerPool", () => workerPoolContract(BoundedWorkerPool.layer))

const environment = (options: Options = {}) =>
  Layer.provideMerge(Layer.provideMerge(BoundedWorkerPool.layer(options), layerProcess), layerDurable)

describe("BoundedWorkerPool", () => {
  it.effect("loses no queued work and runs none twice when its child is killed again and again", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const workers = yield* Workers
      const ids: Array<WorkerId> = []
      for (let index = 0; index < 53; index++) {
        world.program(`t${index}`, Effect.as(Effect.yieldNow, "done"))
        ids.push(yield* pool.submit(world.task(`t${index}`)))
        if (index % 5 === 0) {
          yield* workers.terminateChild("pool")
          yield* workers.restartChild("pool")
        }
      }
      while (world.published.filter(({ event }) => event._tag === "WorkerCompleted").length < 53) {
        yield* workers.terminateChild("pool")
        yield* workers.restartChild("pool")
        for (let turn = 0; turn < 7; turn++) yield* Effect.yieldNow
      }
      assert.strictEqual(world.starts.length, 53)
      assert.strictEqual(new Set(world.starts).size, 53)
      for (const id of ids) assert.strictEqual((yield* endsOf(id)).length, 1)
    }).pipe(Effect.provide(environment()))
  )

  it.effect("ends a worker once at whatever step its executor is taken from under it", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const executors = yield* ToolExecutors
      for (let steps = 0; steps < 40; steps++) {
        const id = yield* pool.submit(world.task(`t${steps}`, { tool: "again" }))
        yield* eventually("running", () => world.running === 1)
        yield* world.finish(`t${steps}`)
        for (let step = 0; step < steps; step++) yield* Effect.yieldNow
        yield* Effect.ignore(executors.terminateChild(id))
        yield* eventually("ended", () => world.eventsOf(id).includes("WorkerCompleted"))
        yield* Effect.yieldNow
        assert.strictEqual((yield* endsOf(id)).length, 1, `after ${steps} steps: ${world.eventsOf(id).join()}`)
      }
      const { running } = yield* pool.status
      assert.strictEqual(running, 0)
    }).pipe(Effect.provide(environment()))
  )

  it.effect("keeps workers running while its child is down", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const workers = yield* Workers
      const id = yield* pool.submit(world.task("a"))
      yield* eventually("running", () => world.running === 1)
      yield* workers.terminateChild("pool")
      yield* world.finish("a")
      yield* eventually("done", () => world.eventsOf(id).includes("WorkerCompleted"))
      const waiting = yield* pool.submit(world.task("b"))
      assert.strictEqual((yield* pool.get(waiting)).status, "queued")
      yield* workers.restartChild("pool")
      yield* eventually("started", () => world.running === 1)
    }).pipe(Effect.provide(environment()))
  )

  it.effect("shows each running worker as a child and in the registry", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const executors = yield* ToolExecutors
      const registry = yield* Registry
      const id = yield* pool.submit(world.task("a"))
      yield* eventually("running", () => world.running === 1)
      assert.deepStrictEqual(
        (yield* executors.whichChildren).map((child) => child.id),
        [id]
      )
      const [agent] = yield* registry.find({ session: SessionId.make("ses_one"), role: "worker", capability: "once" })
      assert.deepStrictEqual(agent?.metadata, { workerId: id, tool: "once" })
      yield* world.finish("a")
      yield* eventually("done", () => world.eventsOf(id).includes("WorkerCompleted"))
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* registry.count, 0)
      assert.deepStrictEqual(yield* executors.whichChildren, [])
    }).pipe(Effect.provide(environment()))
  )

  it.effect("runs a worker again that was terminated from outside, if that is safe, and otherwise ends it", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const executors = yield* ToolExecutors
      const again = yield* pool.submit(world.task("again", { tool: "again" }))
      const once = yield* pool.submit(world.task("once"))
      yield* eventually("both run", () => world.running === 2)
      yield* executors.terminateChild(again)
      yield* executors.terminateChild(once)
      yield* TestClock.adjust("1 second")
      yield* eventually("one is back", () => world.running === 1)
      yield* eventually("one ended", () => world.eventsOf(once).includes("WorkerFailed"))
      assert.deepInclude(yield* pool.get(again), { status: "running", attempt: 2 })
      assert.strictEqual((yield* pool.get(once)).failure?.code, "interrupted")
      assert.deepStrictEqual(world.starts, ["again", "once", "again"])
      yield* world.finish("again")
      yield* eventually("done", () => world.eventsOf(again).includes("WorkerCompleted"))
      assert.deepInclude(yield* pool.status, { running: 0, queued: 0, completed: 1, failed: 1 })
    }).pipe(Effect.provide(environment()))
  )

  it.effect("puts a worker that lost its executor before all that wait, however urgent", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const executors = yield* ToolExecutors
      const first = yield* pool.submit(world.task("first", { tool: "again" }))
      yield* eventually("running", () => world.running === 1)
      yield* pool.submit({ ...world.task("urgent"), priority: 9 })
      yield* pool.submit(world.task("other", { session: "two" }))
      yield* executors.terminateChild(first)
      yield* eventually("running again", () => world.starts.length === 2)
      assert.deepStrictEqual(world.starts, ["first", "first"])
    }).pipe(Effect.provide(environment({ permits: 1 })))
  )

  it.effect("frees the permit of a tool that cannot be stopped after its grace", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      world.program("stubborn", Effect.as(Effect.uninterruptible(Effect.sleep("1 day")), "late"))
      const id = yield* pool.submit(world.task("stubborn"))
      yield* pool.submit(world.task("next"))
      yield* eventually("running", () => world.running === 1)
      const cancelling = yield* Effect.forkChild(pool.cancel(id, "stop"))
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(world.starts, ["stubborn"])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(cancelling)
      yield* eventually("the next one runs", () => world.starts.includes("next"))
      assert.deepStrictEqual(yield* endsOf(id), [{ _tag: "WorkerCancelled", reason: "stop" }])
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* endsOf(id)).length, 1)
    }).pipe(Effect.provide(environment({ permits: 1, grace: "10 seconds" })))
  )

  it.effect("tells of no end that is not durable: a full disk holds it back, and then it is told once", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const id = yield* pool.submit(world.task("a"))
      const waiting = yield* pool.submit(world.task("b"))
      yield* eventually("running", () => world.running === 1)
      world.isDiskFull = true
      yield* world.finish("a")
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* pool.get(id)).status, "running")
      assert.deepInclude(yield* pool.status, { running: 1, completed: 0 })
      assert.instanceOf(yield* Effect.flip(pool.submit(world.task("c"))), StorageFull)
      world.isDiskFull = false
      yield* TestClock.adjust("10 seconds")
      yield* eventually("done", () => world.eventsOf(id).includes("WorkerCompleted"))
      assert.deepStrictEqual(world.eventsOf(id), ["WorkerQueued", "WorkerStarted", "WorkerCompleted"])
      assert.strictEqual(world.starts.filter((name) => name === "a").length, 1)
      // The one behind it has outwaited its patience meanwhile.
      yield* eventually("timed out", () => world.eventsOf(waiting).includes("WorkerFailed"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* endsOf(waiting)).length, 1)
    }).pipe(Effect.provide(environment({ permits: 1 })))
  )

  it.effect("answers a cancel that cannot be journaled with the reason, and carries it out once it can", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const running = yield* pool.submit(world.task("a"))
      const waiting = yield* pool.submit(world.task("b"))
      yield* eventually("running", () => world.running === 1)
      world.isDiskFull = true
      assert.instanceOf(yield* Effect.flip(pool.cancel(waiting, "no")), StorageFull)
      assert.instanceOf(yield* Effect.flip(pool.cancel(running, "no")), StorageFull)
      assert.strictEqual(world.running, 0)
      world.isDiskFull = false
      yield* TestClock.adjust("10 seconds")
      yield* eventually("both cancelled", () =>
        [running, waiting].every((id) => world.eventsOf(id).at(-1) === "WorkerCancelled")
      )
      assert.deepStrictEqual(world.starts, ["a"])
      assert.deepInclude(yield* pool.status, { running: 0, queued: 0, cancelled: 2 })
    }).pipe(Effect.provide(environment({ permits: 1 })))
  )

  it.effect("keeps an end that is decided and not yet durable when its child is killed", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const executors = yield* ToolExecutors
      const id = yield* pool.submit(world.task("a"))
      yield* eventually("running", () => world.running === 1)
      world.isDiskFull = true
      yield* world.finish("a", 42)
      yield* TestClock.adjust("1 second")
      yield* executors.terminateChild(id)
      world.isDiskFull = false
      yield* TestClock.adjust("10 seconds")
      yield* eventually("ended", () => world.eventsOf(id).length === 3)
      assert.deepStrictEqual(yield* endsOf(id), [{ _tag: "WorkerCompleted", result: 42 }])
      assert.deepStrictEqual(world.starts, ["a"])
      assert.deepInclude(yield* pool.status, { running: 0, completed: 1 })
    }).pipe(Effect.provide(environment()))
  )

  it.effect("waits for a supervisor that takes no child now, and starts nothing twice", () => {
    let isRefusing = true
    const refusing = Layer.effect(
      ToolExecutors,
      Effect.map(ToolExecutors, (executors) => ({
        ...executors,
        startChild: (spec: ChildSpec) =>
          isRefusing ? Effect.fail(new SupervisorStopped({ id: "tool executors" })) : executors.startChild(spec)
      }))
    )
    return Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const first = yield* pool.submit(world.task("first"))
      yield* pool.submit(world.task("second"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(world.starts, [])
      yield* pool.cancel(first, "not any more")
      isRefusing = false
      yield* TestClock.adjust("1 second")
      yield* eventually("it runs", () => world.running === 1)
      assert.deepStrictEqual(world.starts, ["second"])
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          Layer.provideMerge(BoundedWorkerPool.layer(), refusing),
          Layer.provideMerge(layerProcess, layerDurable)
        )
      )
    )
  })

  it.effect("tells a subscriber everything from the beginning to the one end", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const bus = yield* EventBus
      world.program(
        "a",
        ToolCall.use(({ progress }) =>
          Effect.as(Effect.andThen(progress(10, "reading"), progress(90, "writing")), "done")
        )
      )
      const id = yield* pool.submit(world.task("a"))
      const seen = yield* bus.subscribe({ topic: Topic.ofWorker(id), from: 1 }).pipe(
        Stream.flatMap((delivery) => (delivery._tag === "Event" ? Stream.make(delivery) : Stream.empty)),
        Stream.takeUntil(({ event }) => event._tag === "WorkerCompleted"),
        Stream.runCollect
      )
      assert.deepStrictEqual(
        seen.map(({ event }) => event._tag),
        ["WorkerQueued", "WorkerStarted", "WorkerProgress", "WorkerProgress", "WorkerCompleted"]
      )
      assert.deepStrictEqual(
        seen.map(({ sequence }) => sequence),
        [1, 2, 3, 4, 5]
      )
    }).pipe(
      Effect.provide(
        BoundedWorkerPool.layer().pipe(
          Layer.provideMerge(PubSubEventBus.layer()),
          Layer.provideMerge(layerProcess),
          Layer.provideMerge(layerDurable)
        )
      )
    )
  )

  it.effect("starts nothing before its start is durable", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const { append, enqueue, workerId } = yield* pool.admit(world.task("a"))
      yield* Journal.use((journal) => journal.append([append]))
      world.isDiskFull = true
      yield* enqueue
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(world.starts, [])
      world.isDiskFull = false
      yield* TestClock.adjust("10 seconds")
      yield* eventually("running", () => world.running === 1)
      assert.strictEqual((yield* pool.get(workerId)).attempt, 1)
    }).pipe(Effect.provide(environment()))
  )

  it.effect("takes back a place whose caller has died, and runs the task if that was durable", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const forgotten = yield* pool.admit(world.task("forgotten"))
      const durable = yield* pool.admit(world.task("durable"))
      yield* Journal.use((journal) => journal.append([durable.append]))
      yield* Effect.flip(pool.admit(world.task("no room")))
      yield* TestClock.adjust("10 seconds")
      yield* eventually("the durable one runs", () => world.running === 1)
      assert.deepStrictEqual(world.starts, ["durable"])
      // A late caller is still served, once.
      yield* durable.enqueue
      const late = yield* pool.admit(world.task("late"))
      yield* Effect.flip(pool.admit(world.task("no room")))
      yield* late.release
      yield* Journal.use((journal) => journal.append([forgotten.append]))
      yield* forgotten.enqueue
      yield* world.finish("durable")
      yield* eventually("the late one runs", () => world.starts.length === 2)
      assert.deepStrictEqual(world.starts, ["durable", "forgotten"])
    }).pipe(Effect.provide(environment({ permits: 1, capacity: 1 })))
  )
})
