/** What every `WorkerPool` promises. Each test has a pool of its own. */
import { assert, it } from "@effect/vitest"
import { type Duration, Effect, Exit, Fiber, Layer, Random, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Topic from "../../services/events/Topic.ts"
import { type EventBus } from "../../services/events/EventBus.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import type { RateLimits } from "../../services/limits/RateLimits.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import type { ToolExecutors, Workers } from "../../services/supervision/Places.ts"
import { ToolCall, ToolFailure } from "../../services/tools/Tool.ts"
import type { Tools } from "../../services/tools/Tools.ts"
import { type WorkerEvent, isTerminal } from "../../services/worker/WorkerEvent.ts"
import type { Pools } from "../../services/worker/PoolLimits.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"
import {
  PoolDraining,
  PoolNotFound,
  PoolSaturated,
  type QuotaExceeded,
  WorkerEnded,
  WorkerNotFound,
  WorkerPool
} from "../../services/worker/WorkerPool.ts"
import { eventually } from "../support/eventually.ts"
import { layerDurable, layerProcess, PoolWorld } from "../support/PoolWorld.ts"

export interface Options {
  readonly permits?: number
  readonly capacity?: number
  readonly patience?: Duration.Input
  readonly grace?: Duration.Input
  readonly pools?: Pools
}

type Needs = Journal | EventBus | Tools | Registry | RateLimits | Workers | ToolExecutors

/** Starts a pool as a process does; `stop` ends the process. The world and its journal stay. */
export const startPool = <E, R>(layer: Layer.Layer<WorkerPool, E, R>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const pool = yield* Effect.provideContext(WorkerPool, yield* Layer.buildWithScope(layer, scope))
    return { pool, stop: Scope.close(scope, Exit.void) }
  })

/** Terminal events in a worker's stream. */
export const endsOf = (workerId: WorkerId) =>
  Journal.use((journal) => journal.read({ stream: Topic.ofWorker(workerId), after: 0, limit: 100_000 })).pipe(
    Effect.map((events) => events.filter(({ event }) => isTerminal(event as WorkerEvent)).map(({ event }) => event))
  )

export const workerPoolContract = (make: (options?: Options) => Layer.Layer<WorkerPool, StorageError, Needs>) => {
  const fresh = (options?: Options) => Layer.fresh(Layer.provideMerge(make(options), layerProcess))

  const test = <A, E>(
    name: string,
    options: Options,
    body: Effect.Effect<A, E, WorkerPool | PoolWorld | Journal | Needs | Scope.Scope>
  ) => it.effect(name, () => body.pipe(Effect.provide(fresh(options)), Effect.provide(layerDurable)))

  const isAllAccountedFor = Effect.fnUntraced(function* (accepted: number) {
    const pool = yield* WorkerPool
    const status = yield* pool.status
    const { cancelled, completed, failed, queued, running } = status
    assert.strictEqual(accepted, completed + failed + cancelled + running + queued, JSON.stringify(status))
  })

  test(
    "runs a task and keeps its result",
    {},
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const id = yield* pool.submit(world.task("a"))
      yield* eventually("running", () => world.starts.length === 1)
      assert.strictEqual((yield* pool.get(id)).status, "running")
      yield* world.finish("a", { lines: 42 })
      yield* eventually("ended", () => world.eventsOf(id).length === 3)
      const worker = yield* pool.get(id)
      assert.strictEqual(worker.status, "completed")
      assert.deepStrictEqual(worker.result, { lines: 42 })
      assert.strictEqual(worker.args, "a")
      assert.strictEqual(worker.attempt, 1)
      assert.deepStrictEqual(world.eventsOf(id), ["WorkerQueued", "WorkerStarted", "WorkerCompleted"])
    })
  )

  test(
    "refuses at once what does not fit, and nothing has happened",
    { permits: 2, capacity: 3 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      for (let index = 0; index < 5; index++) yield* pool.submit(world.task(`t${index}`))
      const refusal = yield* Effect.flip(pool.submit(world.task("too many")))
      assert.deepStrictEqual(refusal, new PoolSaturated({ pool: "tools", running: 2, queued: 3 }))
      const heads = yield* Journal.use((journal) => journal.heads({ prefix: "worker:", limit: 100 }))
      assert.strictEqual(heads.length, 5)
      assert.strictEqual((yield* pool.status).refused, 1)
    })
  )

  test(
    "counts places that are held but not yet used, and takes them back",
    { permits: 1, capacity: 1 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const first = yield* pool.admit(world.task("a"))
      yield* pool.admit(world.task("b"))
      yield* Effect.flip(pool.admit(world.task("c")))
      yield* first.release
      yield* first.release
      yield* pool.admit(world.task("c"))
      yield* Effect.flip(pool.admit(world.task("d")))
      assert.instanceOf(yield* Effect.flip(pool.get(first.workerId)), WorkerNotFound)
    })
  )

  test(
    "takes 53 of 5,000 requests, never runs more than 3, and loses none",
    {},
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      let mostQueued = 0
      const answers = yield* Effect.forEach(
        Array.from({ length: 5_000 }, (_, index) => index),
        (index) =>
          pool.submit(world.task(`t${index}`)).pipe(
            Effect.tap(() => Effect.map(pool.status, ({ queued }) => (mostQueued = Math.max(mostQueued, queued)))),
            Effect.result
          ),
        { concurrency: "unbounded" }
      )
      const accepted = answers.flatMap((answer) => (answer._tag === "Success" ? [answer.success] : []))
      assert.strictEqual(accepted.length, 53)
      assert.isTrue(answers.every((answer) => answer._tag === "Success" || answer.failure._tag === "PoolSaturated"))
      yield* isAllAccountedFor(53)
      yield* eventually("three run", () => world.running === 3)
      for (let index = 0; index < 5_000; index++) yield* world.finish(`t${index}`)
      yield* eventually(
        "all done",
        () => world.published.filter(({ event }) => event._tag === "WorkerCompleted").length === 53
      )
      assert.strictEqual(world.mostRunning, 3)
      assert.isAtMost(mostQueued, 50)
      assert.strictEqual(new Set(world.starts).size, 53)
      assert.strictEqual(world.starts.length, 53)
      for (const id of accepted) assert.strictEqual((yield* endsOf(id)).length, 1)
      const status = yield* pool.status
      assert.deepInclude(status, { running: 0, queued: 0, completed: 53, refused: 4_947 })
    })
  )

  test(
    "starts the next one as soon as a permit is free",
    { permits: 2 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      for (const name of ["a", "b", "c", "d"]) yield* pool.submit(world.task(name))
      yield* eventually("two run", () => world.running === 2)
      assert.deepStrictEqual(world.starts, ["a", "b"])
      yield* world.finish("b")
      yield* eventually("the third runs", () => world.starts.length === 3)
      assert.deepStrictEqual(world.starts, ["a", "b", "c"])
      assert.deepInclude(yield* pool.status, { running: 2, queued: 1 })
    })
  )

  test(
    "lets sessions take turns, however much one of them sends",
    { permits: 1, capacity: 2_000, patience: "1 hour" },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const send = (session: string, name: string) => {
        world.program(name, Effect.succeed(name))
        return pool.submit(world.task(name, { session }))
      }
      yield* pool.submit(world.task("gate"))
      for (let index = 0; index < 1_000; index++) yield* send("greedy", `greedy ${index}`)
      for (let index = 0; index < 10; index++) {
        for (let other = 0; other < 9; other++) yield* send(`other${other}`, `other${other} ${index}`)
      }
      yield* world.finish("gate")
      yield* eventually("the others are done", () => world.starts.includes("other8 9"))
      // Ten sessions: after 100 starts each of the nine has had all its ten turns.
      assert.isAtMost(world.starts.indexOf("other8 9"), 101)
      for (let other = 0; other < 9; other++) {
        const turns = world.starts.filter((name) => name.startsWith(`other${other} `))
        assert.deepStrictEqual(
          turns,
          Array.from({ length: 10 }, (_, index) => `other${other} ${index}`)
        )
      }
    })
  )

  test(
    "ends a task that has waited for 30 seconds, to the millisecond, and never starts it",
    { permits: 1 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      yield* pool.submit(world.task("first"))
      const early = yield* pool.submit(world.task("early"))
      yield* TestClock.adjust(10)
      const late = yield* pool.submit(world.task("late"))
      yield* TestClock.adjust(29_989)
      assert.strictEqual((yield* pool.get(early)).status, "queued")
      yield* TestClock.adjust(1)
      yield* eventually("timed out", () => world.eventsOf(early).includes("WorkerFailed"))
      const worker = yield* pool.get(early)
      assert.strictEqual(worker.failure?.code, "queue_timeout")
      assert.strictEqual((worker.endedAt ?? 0) - worker.queuedAt, 30_000)
      assert.strictEqual((yield* pool.get(late)).status, "queued")
      assert.deepInclude(yield* pool.status, { running: 1, queued: 1, failed: 1 })
      yield* TestClock.adjust(10)
      yield* eventually("timed out too", () => world.eventsOf(late).includes("WorkerFailed"))
      yield* world.finish("first")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(world.starts, ["first"])
      yield* isAllAccountedFor(3)
    })
  )

  test(
    "frees the place of a task cancelled in the queue at once, and never starts it",
    { permits: 1, capacity: 1 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      yield* pool.submit(world.task("running"))
      const waiting = yield* pool.submit(world.task("waiting"))
      const cancelling = yield* Effect.forkChild(pool.cancel(waiting, "no longer wanted"), { startImmediately: true })
      yield* pool.admit(world.task("in its place"))
      yield* Fiber.join(cancelling)
      assert.deepStrictEqual(world.eventsOf(waiting), ["WorkerQueued", "WorkerCancelled"])
      assert.strictEqual((yield* pool.get(waiting)).status, "cancelled")
      yield* world.finish("running")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(world.starts, ["running"])
    })
  )

  test(
    "cancels a running worker, and returns when its finalizers have run",
    { permits: 1 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      let isCleanedUp = false
      world.program(
        "a",
        Effect.never.pipe(
          Effect.onInterrupt(() =>
            Effect.andThen(
              Effect.sleep("2 seconds"),
              Effect.sync(() => (isCleanedUp = true))
            )
          )
        )
      )
      const id = yield* pool.submit(world.task("a"))
      yield* pool.submit(world.task("b"))
      yield* eventually("running", () => world.running === 1)
      const cancelling = yield* Effect.forkChild(pool.cancel(id, "enough"))
      const again = yield* Effect.forkChild(pool.cancel(id, "enough"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(world.starts, ["a"])
      assert.isUndefined(cancelling.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(cancelling)
      yield* Fiber.join(again)
      assert.isTrue(isCleanedUp)
      const agents = yield* Registry.use((registry) => registry.find({ role: "worker" }))
      assert.isFalse(agents.some(({ metadata }) => metadata["workerId"] === id))
      assert.deepStrictEqual(yield* endsOf(id), [{ _tag: "WorkerCancelled", reason: "enough" }])
      yield* eventually("the next one runs", () => world.starts.includes("b"))
    })
  )

  test(
    "says why there is nothing to cancel",
    {},
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const id = yield* pool.submit(world.task("a"))
      yield* world.finish("a")
      yield* eventually("done", () => world.eventsOf(id).length === 3)
      assert.deepStrictEqual(
        yield* Effect.flip(pool.cancel(id, "late")),
        new WorkerEnded({ workerId: id, status: "completed" })
      )
      const unknown = WorkerId.make("wrk_unknown")
      assert.deepStrictEqual(yield* Effect.flip(pool.cancel(unknown, "?")), new WorkerNotFound({ workerId: unknown }))
      assert.deepStrictEqual(yield* Effect.flip(pool.get(unknown)), new WorkerNotFound({ workerId: unknown }))
    })
  )

  test(
    "leaks no place and no permit when 5,000 tasks are cancelled at random",
    { permits: 3, capacity: 50 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const ids: Array<WorkerId> = []
      let cancels = 0
      const one = Effect.fnUntraced(function* (index: number) {
        const submit = pool.submit(world.task(`t${index}`, { session: `s${index % 7}` }))
        // Sixty callers for 53 places: some are refused now and then, and come again.
        const id = yield* Effect.retry(
          Effect.tapError(submit, () => Effect.yieldNow),
          { times: 10_000 }
        )
        ids.push(id)
        const dice = yield* Random.nextIntBetween(0, 6)
        for (let turn = 0; turn < dice * 3; turn++) yield* Effect.yieldNow
        if (dice >= 3) {
          yield* world.finish(`t${index}`)
          for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow
        }
        const outcome = yield* Effect.result(pool.cancel(id, "gone"))
        if (outcome._tag === "Success") cancels++
        else assert.strictEqual(outcome.failure._tag, "WorkerEnded")
      })
      yield* Effect.forEach(
        Array.from({ length: 5_000 }, (_, index) => index),
        one,
        { concurrency: 60 }
      )
      yield* eventually("all ended", () => world.running === 0)
      const status = yield* pool.status
      assert.deepInclude(status, { running: 0, queued: 0, cancelled: cancels })
      assert.strictEqual(status.completed + status.cancelled, ids.length)
      assert.strictEqual(ids.length, 5_000)
      assert.isAbove(status.completed, 100)
      assert.isAtMost(world.mostRunning, 3)
      for (const id of ids) assert.strictEqual((yield* endsOf(id)).length, 1)
      for (let index = 0; index < 53; index++) yield* pool.admit(world.task("again"))
      yield* Effect.flip(pool.admit(world.task("one too many")))
    })
  )

  test(
    "ends a silent tool at its deadline, which every report of progress starts anew",
    {},
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      world.program(
        "a",
        Effect.gen(function* () {
          const call = yield* ToolCall
          for (let minute = 1; minute <= 3; minute++) {
            yield* Effect.sleep("4 minutes")
            yield* call.progress(0, "")
          }
          return yield* Effect.never
        })
      )
      const id = yield* pool.submit(world.task("a"))
      yield* eventually("running", () => world.running === 1)
      yield* TestClock.adjust("12 minutes")
      yield* TestClock.adjust("299 seconds")
      assert.strictEqual((yield* pool.get(id)).status, "running")
      yield* TestClock.adjust("1 second")
      yield* eventually("ended", () => world.eventsOf(id).includes("WorkerFailed"))
      const worker = yield* pool.get(id)
      assert.strictEqual(worker.failure?.code, "deadline_exceeded")
      assert.strictEqual(world.running, 0)
    })
  )

  test(
    "ends a tool at its hard cap whatever it reports",
    {},
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      world.program(
        "a",
        ToolCall.use((call) => Effect.forever(Effect.andThen(Effect.sleep("1 minute"), call.progress(1, "still here"))))
      )
      const id = yield* pool.submit(world.task("a"))
      yield* eventually("running", () => world.running === 1)
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual((yield* pool.get(id)).status, "running")
      yield* TestClock.adjust("1 minute")
      yield* eventually("ended", () => world.eventsOf(id).includes("WorkerFailed"))
      assert.strictEqual((yield* pool.get(id)).failure?.code, "hard_cap_exceeded")
    })
  )

  test(
    "gives a tool's own failure as it is, and of a defect nothing but where to look",
    {},
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      world.program("fails", Effect.fail(new ToolFailure({ code: "path_not_found", message: "no such path: /x" })))
      world.program("dies", Effect.die(new Error("password=hunter2")))
      world.program("is interrupted", Effect.interrupt)
      world.program("is huge", Effect.succeed("x".repeat(512 * 1024)))
      world.program("just fits", Effect.succeed("x".repeat(512 * 1024 - 2)))
      const run = (name: string) =>
        Effect.gen(function* () {
          const id = yield* pool.submit(world.task(name))
          yield* eventually(name, () => world.eventsOf(id).length === 3)
          return yield* pool.get(id)
        })
      assert.deepStrictEqual((yield* run("fails")).failure, { code: "path_not_found", message: "no such path: /x" })
      const died = (yield* run("dies")).failure
      assert.strictEqual(died?.code, "internal_error")
      assert.match(died?.message ?? "", /err_[0-9a-f]+/)
      assert.notInclude(died?.message ?? "", "hunter2")
      assert.strictEqual((yield* run("is interrupted")).failure?.code, "internal_error")
      assert.strictEqual((yield* run("is huge")).failure?.code, "result_too_large")
      assert.strictEqual((yield* run("just fits")).status, "completed")
      yield* isAllAccountedFor(5)
    }).pipe(Effect.withLogSpan("quiet"))
  )

  test(
    "tells new stages at once and the rest ten times a second, never backwards",
    {},
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      world.program(
        "a",
        Effect.gen(function* () {
          const { progress } = yield* ToolCall
          yield* progress(10, "cloning")
          yield* Effect.sleep(5)
          yield* progress(5, "analyzing")
          for (let step = 0; step < 1_000; step++) {
            yield* progress(10 + step / 20, "analyzing")
            yield* Effect.sleep(1)
          }
          yield* progress(Number.NaN, "analyzing")
          yield* progress(400, "complete")
          return "done"
        })
      )
      const id = yield* pool.submit(world.task("a"))
      for (let step = 0; step < 1_100; step++) yield* TestClock.adjust(1)
      yield* eventually("ended", () => world.eventsOf(id).includes("WorkerCompleted"))
      const reports = world.published.flatMap(({ event, topic }) =>
        topic === Topic.ofWorker(id) && event._tag === "WorkerProgress" ? [event] : []
      )
      assert.deepStrictEqual(
        reports.slice(0, 2).map(({ percent, stage }) => [percent, stage]),
        [
          [10, "cloning"],
          [10, "analyzing"]
        ]
      )
      assert.deepStrictEqual([reports.at(-1)?.percent, reports.at(-1)?.stage], [100, "complete"])
      assert.isAtLeast(reports.length, 10)
      assert.isAtMost(reports.length, 14)
      reports.reduce((before, { percent }) => (assert.isAtLeast(percent, before), percent), 0)
      assert.isTrue(world.eventsOf(id).at(-1) === "WorkerCompleted")
    })
  )

  test(
    "shows a live worker's newest report, journaled or not",
    {},
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      world.program(
        "a",
        ToolCall.use(({ progress }) =>
          Effect.gen(function* () {
            yield* progress(10, "reading")
            yield* Effect.sleep(1)
            yield* progress(20, "reading")
            return yield* Effect.never
          })
        )
      )
      const id = yield* pool.submit(world.task("a"))
      yield* eventually("reported", () => world.eventsOf(id).includes("WorkerProgress"))
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* pool.get(id), { percent: 20, stage: "reading", status: "running" })
      const [listed] = yield* pool.list({ limit: 1 })
      assert.deepInclude(listed, { percent: 20, stage: "reading" })
      assert.strictEqual(world.eventsOf(id).filter((name) => name === "WorkerProgress").length, 1)
    })
  )

  test(
    "cancels a task between its admission and its place in the queue",
    {},
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const kept = yield* pool.admit(world.task("kept"))
      const dropped = yield* pool.admit(world.task("dropped"))
      const cancelling = yield* Effect.forkChild(
        Effect.all(
          [Effect.result(pool.cancel(kept.workerId, "no")), Effect.result(pool.cancel(dropped.workerId, "no"))],
          {
            concurrency: "unbounded"
          }
        ),
        { startImmediately: true }
      )
      yield* Journal.use((journal) => journal.append([kept.append]))
      yield* kept.enqueue
      yield* dropped.release
      const [first, second] = yield* Fiber.join(cancelling)
      assert.strictEqual(first._tag, "Success")
      assert.deepStrictEqual(
        second._tag === "Failure" ? second.failure : undefined,
        new WorkerNotFound({ workerId: dropped.workerId })
      )
      assert.deepStrictEqual(world.eventsOf(kept.workerId), ["WorkerCancelled"])
      assert.deepStrictEqual(world.starts, [])
    })
  )

  test(
    "lists workers newest first, by page, session and status",
    { permits: 1 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const ids: Array<WorkerId> = []
      for (let index = 0; index < 12; index++) {
        yield* TestClock.adjust(1)
        ids.unshift(yield* pool.submit(world.task(`t${index}`, { session: index % 3 === 0 ? "three" : "rest" })))
      }
      for (let index = 0; index < 4; index++) yield* world.finish(`t${index}`)
      const isCompleted = () => world.published.filter(({ event }) => event._tag === "WorkerCompleted").length === 4
      yield* eventually("four done", isCompleted)
      yield* eventually("the fifth runs", () => world.starts.length === 5)
      const idsOf = (options: Parameters<typeof pool.list>[0]) =>
        Effect.map(pool.list(options), (found) => found.map(({ id }) => id))
      assert.deepStrictEqual(yield* idsOf({ limit: 100 }), ids)
      assert.deepStrictEqual(yield* idsOf({ limit: 5, before: ids[2] }), ids.slice(3, 8))
      const completed = yield* idsOf({ limit: 100, status: "completed" })
      const queued = yield* idsOf({ limit: 100, status: "queued" })
      const running = yield* idsOf({ limit: 100, status: "running" })
      assert.deepStrictEqual([completed.length, queued.length, running.length], [4, 7, 1])
      assert.deepStrictEqual(new Set([...completed, ...queued, ...running]), new Set(ids))
      const three = SessionId.make("ses_three")
      assert.deepStrictEqual(
        yield* idsOf({ limit: 100, sessionId: three }),
        ids.filter((_, index) => (11 - index) % 3 === 0)
      )
      assert.strictEqual((yield* idsOf({ limit: 2, sessionId: three, status: "completed" })).length, 2)
      assert.deepStrictEqual(yield* idsOf({ limit: 1, status: "queued", before: queued[0] }), queued.slice(1, 2))
    })
  )

  test(
    "runs a session's most urgent tasks first: by the task's priority, else by its tool's",
    { permits: 1 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      world.addTool("urgent", { priority: 8 })
      yield* pool.submit(world.task("gate"))
      for (const [name, priority, tool] of [
        ["low", 1, "once"],
        ["usual", undefined, "once"],
        ["high", 9, "once"],
        ["urgent", undefined, "urgent"]
      ] as const) {
        world.program(name, Effect.succeed(name))
        yield* pool.submit({ ...world.task(name, { tool }), priority })
      }
      yield* world.finish("gate")
      yield* eventually("all ran", () => world.starts.length === 5)
      assert.deepStrictEqual(world.starts, ["gate", "high", "urgent", "usual", "low"])
    })
  )

  test(
    "keeps pools apart: one that is full holds up no other",
    { permits: 1, capacity: 0, pools: { cpu: { permits: 2, queue: 1 } } },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      world.addTool("crunch", { pool: "cpu" })
      world.addTool("lost", { pool: "gpu" })
      yield* pool.submit(world.task("a"))
      assert.strictEqual((yield* Effect.flip(pool.submit(world.task("b"))))._tag, "PoolSaturated")
      for (const name of ["c", "d", "e"]) yield* pool.submit(world.task(name, { tool: "crunch" }))
      const refusal = yield* Effect.flip(pool.submit(world.task("f", { tool: "crunch" })))
      assert.deepStrictEqual(refusal, new PoolSaturated({ pool: "cpu", running: 2, queued: 1 }))
      yield* eventually("three run", () => world.running === 3)
      const lost = yield* Effect.flip(pool.submit(world.task("g", { tool: "lost" })))
      assert.deepStrictEqual(lost, new PoolNotFound({ pool: "gpu", available: ["tools", "cpu"] }))
      const { pools, ...tools } = yield* pool.status
      assert.deepInclude(tools, { running: 1, queued: 0, refused: 1 })
      assert.deepInclude(pools[1], { name: "cpu", running: 2, queued: 1, refused: 1 })
      assert.deepStrictEqual(yield* pool.load, { running: 3, queued: 1 })
    })
  )

  test(
    "runs no more of a session or a key than its quota, and tells what it refuses and until when",
    {
      permits: 4,
      pools: { tools: { perSession: { running: 1, queued: 2 }, perKey: { running: 2 } } }
    },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const submit = (name: string, key: string) =>
        pool.submit({ ...world.task(name, { session: name.slice(0, 1) }), key })
      for (const name of ["a1", "a2", "a3"]) yield* submit(name, "coder")
      const { retryAfter, ...refusal } = yield* Effect.flip(submit("a4", "coder")) as Effect.Effect<QuotaExceeded>
      assert.deepInclude(refusal, { pool: "tools", of: "session", name: "ses_a", quota: "queued", limit: 2 })
      assert.isAtLeast(retryAfter, 1_000)
      yield* submit("b1", "coder")
      yield* submit("c1", "coder")
      yield* submit("d1", "writer")
      yield* eventually("what may run runs", () => world.running === 3)
      assert.deepStrictEqual([...world.starts].sort(), ["a1", "b1", "d1"])
      yield* world.finish("b1")
      yield* eventually("the key goes on", () => world.starts.includes("c1"))
      yield* world.finish("a1")
      yield* eventually("the session goes on", () => world.starts.includes("a2"))
      assert.isAtMost(world.mostRunning, 3)
    })
  )

  test(
    "gives the sessions of a weighty key as many turns in a row as its weight",
    { permits: 1, pools: { tools: { weights: { reviewer: 2 } } } },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      yield* pool.submit(world.task("gate"))
      for (let index = 0; index < 4; index++) {
        for (const [session, key] of [
          ["a", "coder"],
          ["b", "reviewer"]
        ] as const) {
          world.program(`${session}${index}`, Effect.succeed(1))
          yield* pool.submit({ ...world.task(`${session}${index}`, { session }), key })
        }
      }
      yield* world.finish("gate")
      yield* eventually("all ran", () => world.starts.length === 9)
      assert.deepStrictEqual(world.starts.slice(1, 7), ["a0", "b0", "b1", "a1", "b2", "b3"])
    })
  )

  test(
    "takes no more of a session in a minute than its quota, and says when it will again",
    { pools: { tools: { permits: 20, perSession: { perMinute: 6 }, perKey: { perMinute: 9 } } } },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      const submit = (name: string, session: string) => pool.submit({ ...world.task(name, { session }), key: "coder" })
      for (let index = 0; index < 6; index++) yield* submit(`a${index}`, "a")
      const error = yield* Effect.flip(submit("a6", "a"))
      assert.deepInclude(error, { of: "session", name: "ses_a", quota: "perMinute", limit: 6, retryAfter: 10_000 })
      for (let index = 0; index < 3; index++) yield* submit(`b${index}`, "b")
      assert.deepInclude(yield* Effect.flip(submit("b3", "b")), { of: "key", name: "coder", quota: "perMinute" })
      yield* TestClock.adjust("10 seconds")
      yield* submit("a7", "a")
      assert.deepInclude((yield* pool.status).pools[0], { refused: 2 })
    })
  )

  test(
    "starts nothing while it is paused, takes what comes, and goes on when it is resumed",
    { permits: 2, capacity: 2 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      yield* pool.submit(world.task("a"))
      yield* eventually("running", () => world.running === 1)
      assert.strictEqual((yield* pool.pause("tools")).mode, "paused")
      yield* pool.submit(world.task("b"))
      const impatient = yield* pool.submit(world.task("c"))
      yield* Effect.flip(pool.submit(world.task("d")))
      yield* world.finish("a")
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(world.starts, ["a"])
      yield* pool.cancel(impatient, "no longer")
      assert.strictEqual((yield* pool.resume("tools")).mode, "open")
      yield* eventually("it goes on", () => world.starts.includes("b"))
      yield* pool.pause("tools")
      const late = yield* pool.submit(world.task("e"))
      yield* TestClock.adjust("30 seconds")
      yield* eventually("patience ends", () => world.eventsOf(late).includes("WorkerFailed"))
      yield* pool.resume("tools")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(world.starts, ["a", "b"])
      assert.deepInclude((yield* pool.status).pools[0], { timedOut: 1, failed: 1 })
    })
  )

  test(
    "drains: refuses what comes, runs what it has, tells when nothing is left, and opens again",
    { permits: 1 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      yield* pool.submit(world.task("a"))
      yield* pool.submit(world.task("b"))
      yield* eventually("running", () => world.running === 1)
      yield* pool.drain("tools")
      assert.deepStrictEqual(yield* Effect.flip(pool.submit(world.task("c"))), new PoolDraining({ pool: "tools" }))
      const told = () => world.published.flatMap(({ event, topic }) => (topic === Topic.pool ? [event._tag] : []))
      yield* world.finish("a")
      yield* eventually("the next runs", () => world.starts.includes("b"))
      assert.deepStrictEqual(told(), ["PoolDraining"])
      yield* world.finish("b")
      yield* eventually("drained", () => told().includes("PoolDrained"))
      yield* pool.resume("tools")
      yield* pool.submit(world.task("d"))
      yield* eventually("open again", () => world.starts.includes("d"))
      assert.deepStrictEqual(told(), ["PoolDraining", "PoolDrained", "PoolResumed"])
    })
  )

  test(
    "takes a new size at once, keeps what runs, and tells of it",
    { permits: 1 },
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      for (const name of ["a", "b", "c", "d"]) yield* pool.submit(world.task(name))
      yield* eventually("one runs", () => world.running === 1)
      assert.deepInclude(yield* pool.resize("tools", { permits: 3 }), { permits: 3, min: 3, max: 3 })
      yield* eventually("three run", () => world.running === 3)
      yield* pool.resize("tools", { permits: 1 })
      assert.strictEqual(world.running, 3)
      yield* world.finish("a")
      yield* world.finish("b")
      yield* eventually("two ended", () => world.running === 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(world.starts, ["a", "b", "c"])
      yield* world.finish("c")
      yield* eventually("the last runs", () => world.starts.includes("d"))
      const { scaling } = yield* pool.resize("tools", { permits: 1, max: 4 })
      assert.deepStrictEqual(
        scaling.map(({ by, from, to }) => [from, to, by]),
        [
          [1, 3, "operator"],
          [3, 1, "operator"]
        ]
      )
      const invalid = yield* Effect.flip(pool.resize("tools", { permits: 5 }))
      assert.include(invalid.message, "the pool scales itself from 1 to 4")
      assert.deepStrictEqual(
        yield* Effect.flip(pool.pause("nowhere")),
        new PoolNotFound({ pool: "nowhere", available: ["tools"] })
      )
      const resized = world.published.filter(({ event }) => event._tag === "PoolResized")
      assert.strictEqual(resized.length, 2)
    })
  )

  it.effect("keeps pool, priority and quota of what it accepted over a restart", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      world.addTool("crunch", { pool: "cpu", idempotent: true })
      const options = { permits: 1, pools: { cpu: { permits: 2, perKey: { running: 1 } } } }
      const first = yield* startPool(fresh(options))
      yield* first.pool.pause("cpu")
      const submit = (name: string, session: string, priority: number, key: string) =>
        Effect.andThen(
          TestClock.adjust(1),
          first.pool.submit({ ...world.task(name, { session, tool: "crunch" }), priority, key })
        )
      yield* submit("low", "one", 0, "coder")
      yield* submit("high", "one", 9, "coder")
      const other = yield* submit("other", "two", 5, "writer")
      yield* first.stop
      assert.deepStrictEqual(world.starts, [])

      const second = yield* startPool(fresh(options))
      yield* eventually("two run", () => world.running === 2)
      assert.deepStrictEqual(world.starts, ["high", "other"])
      assert.deepInclude(yield* second.pool.get(other), { pool: "cpu", priority: 5, key: "writer" })
      yield* second.stop

      // A pool that is not there any more leaves its work to `tools`.
      const third = yield* startPool(fresh({ permits: 3 }))
      yield* eventually("all run", () => world.running === 3)
      assert.deepInclude((yield* third.pool.status).pools[0], { name: "tools", running: 3 })
    }).pipe(Effect.scoped, Effect.provide(layerDurable))
  )

  it.effect("takes up after a restart what was accepted: in order, each once", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const first = yield* startPool(fresh({ permits: 2, capacity: 10 }))
      const submit = (name: string, tool: string) =>
        Effect.andThen(TestClock.adjust(1), first.pool.submit(world.task(name, { tool })))
      const again = yield* submit("idempotent", "again")
      const once = yield* submit("once", "once")
      const waiting: Array<WorkerId> = []
      for (const name of ["w1", "w2", "w3", "w4"]) waiting.push(yield* submit(name, "once"))
      yield* eventually("two run", () => world.running === 2)
      yield* first.stop
      assert.strictEqual(world.running, 0)
      for (const id of [again, once, ...waiting]) assert.deepStrictEqual(yield* endsOf(id), [])

      world.starts.length = 0
      // A smaller pool: what was accepted is never refused.
      const second = yield* startPool(fresh({ permits: 1, capacity: 1 }))
      yield* eventually("interrupted", () => world.eventsOf(once).includes("WorkerFailed"))
      assert.strictEqual((yield* second.pool.get(once)).failure?.code, "interrupted")
      yield* eventually("running again", () => world.running === 1)
      assert.deepInclude(yield* second.pool.get(again), { status: "running", attempt: 2 })
      assert.deepInclude(yield* second.pool.status, { running: 1, queued: 4, failed: 1 })
      yield* Effect.flip(second.pool.submit(world.task("new")))
      for (const name of ["idempotent", "w1", "w2", "w3", "w4"]) yield* world.finish(name)
      const all = [again, ...waiting]
      yield* eventually("all done", () => all.every((id) => world.eventsOf(id).includes("WorkerCompleted")))
      assert.deepStrictEqual(world.starts, ["idempotent", "w1", "w2", "w3", "w4"])
      for (const id of [...all, once]) assert.strictEqual((yield* endsOf(id)).length, 1)
      yield* second.stop

      world.starts.length = 0
      const third = yield* startPool(fresh())
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(world.starts, [])
      assert.deepInclude(yield* third.pool.status, { running: 0, queued: 0 })
    }).pipe(Effect.scoped, Effect.provide(layerDurable))
  )

  it.effect("puts work that was running before all that has not started, and asks it for no patience", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const first = yield* startPool(fresh({ permits: 1 }))
      const submit = (name: string, session: string) =>
        Effect.andThen(TestClock.adjust(1), first.pool.submit(world.task(name, { session, tool: "again" })))
      for (const name of ["a1", "a2", "a3"]) yield* submit(name, "a")
      const late = yield* submit("b1", "b")
      yield* world.finish("a1")
      yield* world.finish("a2")
      yield* eventually("the youngest runs", () => world.starts.at(-1) === "b1")
      yield* first.stop
      world.starts.length = 0
      world.program("b1", Effect.as(Effect.sleep("2 minutes"), "done"))
      const second = yield* startPool(fresh({ permits: 1 }))
      yield* eventually("it runs first", () => world.running === 1)
      assert.deepStrictEqual(world.starts, ["b1"])
      yield* second.stop

      // Behind it now waits another that had been running, for longer than the patience of the queue.
      const third = yield* startPool(fresh({ permits: 2 }))
      const beside = yield* third.pool.submit(world.task("beside", { tool: "again" }))
      yield* world.finish("a3")
      yield* eventually("both run", () => world.starts.includes("beside"))
      yield* third.stop
      const { pool } = yield* startPool(fresh({ permits: 1 }))
      yield* eventually("one runs", () => world.running === 1)
      yield* TestClock.adjust("119 seconds")
      const statuses = yield* Effect.forEach([late, beside], (id) => Effect.map(pool.get(id), ({ status }) => status))
      assert.deepStrictEqual(new Set(statuses), new Set(["running", "queued"]))
    }).pipe(Effect.scoped, Effect.provide(layerDurable))
  )

  it.effect("fails queued work whose tool is gone after a restart", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const first = yield* startPool(fresh({ permits: 1 }))
      yield* first.pool.submit(world.task("gate", { tool: "again" }))
      const id = yield* first.pool.submit(world.task("a"))
      yield* first.stop
      world.removeTool("once")
      yield* world.finish("gate")
      const { pool } = yield* startPool(fresh({ permits: 1 }))
      yield* eventually("failed", () => world.eventsOf(id).includes("WorkerFailed"))
      assert.strictEqual((yield* pool.get(id)).failure?.code, "tool_not_found")
    }).pipe(Effect.scoped, Effect.provide(layerDurable))
  )
}
