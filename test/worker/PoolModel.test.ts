/**
 * The pool as a state machine: whatever is asked of it in whatever order, on a process that may stop and start again,
 * and with the pool's own fibers killed at any moment.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as BoundedWorkerPool from "../../layers/worker/BoundedWorkerPool.ts"
import { ToolExecutors, Workers } from "../../services/supervision/Places.ts"
import { ToolFailure } from "../../services/tools/Tool.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { endsOf } from "../contracts/WorkerPool.ts"
import { layerDurable, layerProcess, PoolWorld } from "../support/PoolWorld.ts"

const patience = 1_000

const command = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant("submit" as const),
      session: fc.constantFrom("a", "b", "c"),
      priority: fc.constantFrom(1, 5, 5, 9),
      tool: fc.constantFrom("once", "again")
    })
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom("finish" as const, "fail" as const), which: fc.nat(20) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat(50) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("advance" as const), by: fc.integer({ min: 1, max: 700 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("resize" as const), permits: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("pause" as const, "drain" as const, "resume" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("crash pool" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("take executor away" as const), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart process" as const) }) }
)
type Command = typeof command extends fc.Arbitrary<infer A> ? A : never

interface Submitted {
  readonly id: WorkerId
  readonly name: string
  readonly session: string
  readonly priority: number
  readonly tool: string
}

const sizes = { permits: 2, capacity: 6 }
const options = { ...sizes, patience, pools: { tools: { overflow: 1, overflowAbove: 3, perSession: { running: 2 } } } }

/** Lets everything come to rest that needs no clock. */
const settle = Effect.forEach(Array.from({ length: 150 }), () => Effect.yieldNow, { discard: true })

const process = Effect.gen(function* () {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const layer = Layer.fresh(Layer.provideMerge(BoundedWorkerPool.layer(options), layerProcess))
  const context = yield* Layer.buildWithScope(layer, scope)
  const get = Effect.all({ pool: WorkerPool, workers: Workers, executors: ToolExecutors })
  return { ...(yield* Effect.provideContext(get, context)), stop: Scope.close(scope, Exit.void) }
})

const run = Effect.fnUntraced(function* (commands: ReadonlyArray<Command>) {
  const world = yield* PoolWorld
  let now = yield* process
  const tasks: Array<Submitted> = []
  const isEnded = (id: WorkerId) => world.eventsOf(id).some((name) => /^Worker(Completed|Failed|Cancelled)$/.test(name))
  const endedBefore = new Map<string, number>()
  let mode: "open" | "paused" | "draining" = "open"
  let permits = sizes.permits
  let most = permits
  let seen = 0
  let before = { completed: 0, failed: 0, cancelled: 0 }

  const runningTasks = Effect.gen(function* () {
    const found = yield* now.pool.list({ status: "running", limit: 1_000 })
    return tasks.filter(({ id }) => found.some((worker) => worker.id === id))
  })

  const check = Effect.gen(function* () {
    const status = yield* now.pool.status
    const [part] = status.pools
    const open = tasks.filter(({ id }) => !isEnded(id))
    // Every task is in one place, and has one end at most.
    assert.strictEqual(status.running + status.queued, open.length)
    assert.strictEqual(world.running, status.running)
    for (const { id } of tasks) assert.isAtMost((yield* endsOf(id)).length, 1)
    assert.isAtMost(world.running, most + 1)
    for (const session of ["a", "b", "c"]) {
      const running = (yield* runningTasks).filter((task) => task.session === session)
      assert.isAtMost(running.length, 2)
    }
    // No permit is idle while somebody waits who may have it.
    if (mode !== "paused" && status.running < permits) {
      for (const { queued, running } of part?.sessions ?? []) assert.isTrue(queued === 0 || running >= 2)
    }
    // Nothing starts once it has ended.
    for (const name of world.starts.slice(seen))
      assert.isFalse(endedBefore.has(name), `${name} was started after its end`)
    seen = world.starts.length
    for (const { id, name } of tasks) if (isEnded(id)) endedBefore.set(name, seen)
    const { cancelled, completed, failed } = status
    assert.isTrue(completed >= before.completed && failed >= before.failed && cancelled >= before.cancelled)
    before = { completed, failed, cancelled }
  })

  for (const action of commands) {
    switch (action.do) {
      case "submit": {
        const name = `t${tasks.length}`
        const { priority, session, tool } = action
        const { queued, running } = yield* now.pool.status
        const result = yield* Effect.result(now.pool.submit({ ...world.task(name, { session, tool }), priority }))
        if (result._tag === "Success") tasks.push({ id: result.success, name, session, priority, tool })
        else if (mode === "draining") assert.strictEqual(result.failure._tag, "PoolDraining")
        else {
          assert.strictEqual(result.failure._tag, "PoolSaturated")
          assert.isAtLeast(queued + running, sizes.capacity)
        }
        break
      }
      case "finish":
      case "fail": {
        const running = yield* runningTasks
        const task = running[action.which % Math.max(1, running.length)]
        if (task === undefined) break
        if (action.do === "finish") yield* world.finish(task.name)
        else yield* world.break(task.name, new ToolFailure({ code: "broken", message: "broken" }))
        break
      }
      case "cancel": {
        const task = tasks[action.which % Math.max(1, tasks.length)]
        if (task === undefined) break
        const wasEnded = isEnded(task.id)
        const cancelling = yield* Effect.forkChild(Effect.result(now.pool.cancel(task.id, "test")))
        yield* settle
        const result = yield* Fiber.join(cancelling)
        if (wasEnded) assert.strictEqual(result._tag === "Failure" ? result.failure._tag : "", "WorkerEnded")
        else assert.strictEqual(result._tag, "Success")
        break
      }
      case "advance":
        yield* TestClock.adjust(action.by)
        break
      case "resize":
        permits = action.permits
        most = Math.max(most, permits)
        yield* now.pool.resize("tools", { permits })
        break
      case "pause":
      case "drain":
      case "resume":
        mode = action.do === "pause" ? "paused" : action.do === "drain" ? "draining" : "open"
        yield* now.pool[action.do]("tools")
        break
      case "crash pool":
        yield* now.workers.terminateChild("pool")
        yield* now.workers.restartChild("pool")
        break
      case "take executor away": {
        const running = yield* runningTasks
        const task = running[action.which % Math.max(1, running.length)]
        if (task !== undefined) yield* Effect.ignore(now.executors.terminateChild(task.id))
        break
      }
      case "restart process": {
        const cutOff = (yield* runningTasks).filter(({ tool }) => tool === "once")
        yield* now.stop
        assert.strictEqual(world.running, 0)
        mode = "open"
        permits = sizes.permits
        before = { completed: 0, failed: 0, cancelled: 0 }
        now = yield* process
        yield* settle
        for (const { id } of cutOff) {
          assert.deepInclude((yield* now.pool.get(id)).failure, { code: "interrupted" })
        }
        break
      }
    }
    yield* settle
    yield* check
  }

  // Left to itself it comes to an end with everything, once.
  yield* now.pool.resume("tools")
  mode = "open"
  for (let round = 0; round < tasks.length + 1; round++) {
    for (const { name } of yield* runningTasks) yield* world.finish(name)
    yield* settle
    yield* check
  }
  const status = yield* now.pool.status
  assert.deepInclude(status, { running: 0, queued: 0 })
  for (const { id, name, tool } of tasks) {
    assert.strictEqual((yield* endsOf(id)).length, 1, name)
    if (tool === "once") assert.isAtMost(world.starts.filter((started) => started === name).length, 1)
  }
  // First in, first out within a session and a priority; what was put back had its turn already.
  const firsts = tasks.map((task) => ({ ...task, at: world.starts.indexOf(task.name) })).filter(({ at }) => at >= 0)
  for (const earlier of firsts) {
    for (const later of firsts) {
      const isSameLine = earlier.session === later.session && earlier.priority === later.priority
      if (
        isSameLine &&
        tasks.indexOf(tasks.find(({ id }) => id === earlier.id) ?? earlier) <
          tasks.findIndex(({ id }) => id === later.id)
      ) {
        assert.isBelow(earlier.at, later.at, `${earlier.name} came before ${later.name}`)
      }
    }
  }
  yield* now.stop
})

describe("the pool as a state machine", () => {
  it("ends everything exactly once, within its limits, in order, whatever happens in whatever order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 40 }), (commands) =>
        Effect.runPromise(
          run(commands).pipe(
            Effect.scoped,
            Effect.provide(layerDurable),
            Effect.provide(TestClock.layer()),
            Effect.provide(Layer.empty)
          )
        )
      ),
      { numRuns: globalThis.process.env["ESPALIER_LONG"] === undefined ? 60 : 3_000 }
    )
  }, 600_000)
})
