/**
 * Every part of the runtime's own tree is killed while sessions talk, workers run and subscribers listen: it comes
 * back, nothing that was acknowledged is lost, nothing happens twice, and no subscriber notices.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Schedule, Schema, Stream } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { generateMessageId, type MessageId, type SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Chaos } from "../../services/supervision/Chaos.ts"
import { Root } from "../../services/supervision/Places.ts"
import type { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import * as Tool from "../../services/tools/Tool.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const SESSIONS = 12
const TASKS = 10

const now = () => performance.now()

/** A heavy tool that notes each of its runs. */
const makeRuns = () => {
  const runs = new Map<number, number>()
  const tool = Tool.make<{ readonly task: number }, string, never>({
    name: "note",
    description: "notes that it ran",
    weight: "heavy",
    idempotent: true,
    parameters: Schema.Struct({ task: Schema.Int }),
    result: Schema.String,
    run: ({ task }) =>
      Effect.delay(
        Effect.sync(() => {
          runs.set(task, (runs.get(task) ?? 0) + 1)
          return "done"
        }),
        "60 millis"
      )
  })
  return { runs, tool }
}

/** Paths of all nodes with their states. */
const nodes = (node: TreeNode, path = node.id): ReadonlyArray<readonly [string, TreeNode["state"]]> => [
  [path, node.state],
  ...node.children.flatMap((child) => nodes(child, `${path}/${child.id}`))
]

const untilTrue = <E, R>(what: string, holds: Effect.Effect<boolean, E, R>, patience: number) =>
  holds.pipe(
    Effect.repeat({ until: (isTrue) => isTrue, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOption(patience),
    Effect.tap((result) =>
      Option.isNone(result) ? Effect.die(new Error(`not within ${patience} ms: ${what}`)) : Effect.void
    )
  )

/** One session as its people see it: one writes to it, one listens. */
const talk = Effect.fnUntraced(function* (isOver: () => boolean) {
  const manager = yield* SessionManager
  const bus = yield* EventBus
  const { id } = yield* manager.start({})
  const acknowledged: Array<MessageId> = []
  const heard: Array<number> = []
  yield* bus.subscribe({ topic: Topic.ofSession(id), from: 1 }).pipe(
    Stream.runForEach((delivery) =>
      Effect.sync(() => {
        if (delivery._tag === "Event") heard.push(delivery.sequence)
        if (delivery._tag === "Lagged") heard.push(-1)
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
  const sendOne = Effect.gen(function* () {
    const messageId = yield* generateMessageId
    yield* manager.send({ sessionId: id, text: "hello", messageId }).pipe(
      Effect.retry({
        schedule: Schedule.spaced("5 millis"),
        while: ({ _tag }) => _tag === "SessionInterrupted" || _tag === "MailboxFull"
      })
    )
    acknowledged.push(messageId)
    yield* Effect.sleep("10 millis")
  })
  const writer = yield* Effect.forkScoped(
    Effect.whileLoop({ while: () => !isOver(), body: () => sendOne, step: () => undefined })
  )
  return { id, acknowledged, heard, writer }
})

const isQuiet = (id: SessionId) =>
  Effect.map(
    Effect.flatMap(SessionManager, (manager) => manager.get(id)),
    ({ queued, status }) => status === "idle" && queued === 0
  )

/** Kills `victim` twice in the midst of it all. `mayRepeat`: a tool that was running may be run once more. */
const survives = (
  victim: Effect.Effect<string, unknown, Root>,
  { bar, mayRepeat = false }: { readonly bar: number; readonly mayRepeat?: boolean }
) =>
  Effect.gen(function* () {
    const dataDirectory = yield* temporaryDirectory
    const { runs, tool } = makeRuns()
    yield* Effect.gen(function* () {
      const manager = yield* SessionManager
      const chaos = yield* Chaos
      const root = yield* Root
      const pool = yield* WorkerPool
      const registry = yield* Registry
      const journal = yield* Journal
      let isOver = false
      const sessions = yield* Effect.forEach(Array.from({ length: SESSIONS }), () => talk(() => isOver))
      const idle = yield* manager.start({ title: "nobody speaks to it" })
      const workers: Array<WorkerId> = []
      const submit = (round: number) =>
        Effect.forEach(
          Array.from({ length: TASKS }, (_, task) => round * TASKS + task),
          (task) =>
            manager
              .runTool({ sessionId: sessions[task % SESSIONS]?.id as SessionId, tool: "note", args: { task } })
              .pipe(
                Effect.retry({
                  schedule: Schedule.spaced("5 millis"),
                  while: ({ _tag }) => _tag === "SessionInterrupted"
                }),
                Effect.tap((run) => Effect.sync(() => "workerId" in run && workers.push(run.workerId)))
              ),
          { concurrency: TASKS, discard: true }
        )
      const times: Array<number> = []
      for (let round = 0; round < 2; round++) {
        yield* submit(round)
        yield* Effect.sleep("80 millis")
        const before = sessions.map(({ acknowledged }) => acknowledged.length)
        const path = yield* victim
        const killedAt = now()
        yield* chaos.kill(path)
        // One acknowledgement may have been on its way; the second is of the life after.
        yield* untilTrue(
          `${path} is back and every session answers`,
          Effect.map(root.tree, (tree) => {
            const isRunning = nodes(tree).every(([, state]) => state === "running" || state === "starting")
            return isRunning && sessions.every(({ acknowledged }, at) => acknowledged.length >= (before[at] ?? 0) + 2)
          }),
          3_000
        )
        times.push(now() - killedAt)
        yield* untilTrue(
          "a session that nobody speaks to is alive",
          Effect.map(registry.find({ session: idle.id }), (found) => found.length === 1),
          3_000
        )
        yield* Effect.sleep("50 millis")
      }
      isOver = true
      yield* Effect.forEach(sessions, ({ writer }) => Fiber.await(writer))
      yield* Effect.forEach(sessions, ({ id }) => untilTrue(`${id} is quiet`, isQuiet(id), 20_000))
      yield* untilTrue(
        "the pool is quiet",
        Effect.map(pool.status, ({ queued, running }) => queued + running === 0),
        20_000
      )
      for (const { acknowledged, heard, id } of sessions) {
        const events = yield* journal.read({ stream: Topic.ofSession(id), after: 0, limit: 100_000 })
        const received = events.flatMap(({ event }) => (event._tag === "MessageReceived" ? [event.messageId] : []))
        assert.strictEqual(new Set(received).size, received.length, "a message is there twice")
        assert.isTrue(new Set(received).isSupersetOf(new Set(acknowledged)), "an acknowledged message is gone")
        const count = (tag: string) => events.filter(({ event }) => event._tag === tag).length
        assert.strictEqual(count("TurnEnded"), count("TurnStarted"))
        assert.strictEqual(count("TurnStarted"), received.length)
        yield* untilTrue(
          "the subscriber has heard all",
          Effect.sync(() => heard.length >= events.length),
          3_000
        )
        assert.deepStrictEqual(
          heard,
          events.map(({ sequence }) => sequence)
        )
        assert.strictEqual((yield* registry.find({ session: id, role: "main" })).length, 1)
      }
      assert.strictEqual(workers.length, 2 * TASKS)
      for (const worker of workers) {
        const events = yield* journal.read({ stream: Topic.ofWorker(worker), after: 0, limit: 1_000 })
        const ends = events.flatMap(({ event }) => ("workerId" in event || !("_tag" in event) ? [] : [event._tag]))
        assert.strictEqual(ends.filter((tag) => tag === "WorkerCompleted").length, 1, ends.join())
      }
      assert.strictEqual(runs.size, 2 * TASKS)
      if (!mayRepeat)
        assert.isTrue(
          [...runs.values()].every((count) => count === 1),
          "a task ran twice"
        )
      assert.isBelow(Math.min(...times), bar)
    }).pipe(Effect.provide(Runtime.layer({ dataDirectory, chaos: true, permits: 3, queue: 50, tools: [tool] })))
  }).pipe(Effect.scoped)

const at = (path: string) => Effect.succeed(path)

const firstBelow = (...ids: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const root = yield* Root
    const node = ids.reduce<TreeNode | undefined>(
      (node, id) => node?.children.find((child) => child.id === id),
      yield* root.tree
    )
    return ["espalier", ...ids, yield* Effect.fromNullishOr(node?.children[0]?.id)].join("/")
  }).pipe(Effect.eventually)

describe("a part that is killed comes back with its state", () => {
  const cases: ReadonlyArray<
    readonly [string, Effect.Effect<string, unknown, Root>, { readonly bar: number; readonly mayRepeat?: boolean }]
  > = [
    ["the journal", at("espalier/foundation/journal"), { bar: 3_000 }],
    ["the event bus", at("espalier/foundation/event bus"), { bar: 3_000 }],
    ["the feed of supervision events", at("espalier/foundation/supervision events"), { bar: 3_000 }],
    ["the registry", at("espalier/foundation/registry"), { bar: 1_000 }],
    ["the whole foundation", at("espalier/foundation"), { bar: 3_000 }],
    ["the session manager", at("espalier/coordinators/session manager"), { bar: 1_000 }],
    ["a session", firstBelow("coordinators", "sessions"), { bar: 1_000 }],
    ["the sessions' supervisor", at("espalier/coordinators/sessions"), { bar: 3_000 }],
    ["the monitor", at("espalier/coordinators/monitor"), { bar: 3_000 }],
    ["all coordinators", at("espalier/coordinators"), { bar: 3_000 }],
    ["the pool", at("espalier/workers/pool"), { bar: 500 }],
    ["a worker", firstBelow("workers", "tool executors"), { bar: 3_000, mayRepeat: true }],
    ["the tool executors", at("espalier/workers/tool executors"), { bar: 3_000, mayRepeat: true }],
    ["all workers", at("espalier/workers"), { bar: 3_000, mayRepeat: true }]
  ]
  for (const [name, victim, options] of cases) it.live(name, () => survives(victim, options))
})
