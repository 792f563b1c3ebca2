/** Sessions that crash, all at once or one for ever, and sessions and workers that come and go by the thousand. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Fiber, Metric, Option, References, Schedule, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Chaos } from "../../services/supervision/Chaos.ts"
import { Root, Sessions, ToolExecutors } from "../../services/supervision/Places.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { isTerminal, type WorkerEvent } from "../../services/worker/WorkerEvent.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { eventually } from "../support/eventually.ts"
import { counted, counts, growth } from "../support/resources.ts"
import { eventsOf, inProcess, is, layerDurable, SessionWorld, until } from "../support/SessionWorld.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const isLong = process.env["ESPALIER_LONG"] !== undefined
const quiet = Effect.provideService(References.MinimumLogLevel, "None")

const restarted = Effect.map(Metric.snapshot, (all) => {
  const found = all.find(({ id }) => id === "espalier_supervision_restarted_total")
  return found?.type === "Counter" ? Number(found.state.count) : 0
})

const within = <E, R>(what: string, patience: number, holds: Effect.Effect<boolean, E, R>) =>
  holds.pipe(
    Effect.repeat({ until: (isTrue) => isTrue, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOption(patience),
    Effect.flatMap((done) => (Option.isSome(done) ? Effect.void : Effect.die(new Error(`not in time: ${what}`))))
  )

/** How long a turn of the event loop takes of the processor's time. */
const makeTurns = () => {
  let last = process.threadCpuUsage()
  let longest = 0
  let isOver = false
  const look = () => {
    const { system, user } = process.threadCpuUsage(last)
    last = process.threadCpuUsage()
    longest = Math.max(longest, (system + user) / 1_000)
    if (!isOver) setImmediate(look)
  }
  return {
    begin: () => {
      last = process.threadCpuUsage()
      setImmediate(look)
    },
    /** Milliseconds of the longest since then. */
    end: () => {
      isOver = true
      return longest
    }
  }
}

/** Starts as many sessions, and gives every hundredth a title behind its back: only the journal knows that one. */
const startMany = Effect.fnUntraced(function* (count: number) {
  const manager = yield* SessionManager
  const journal = yield* Journal
  const ids = yield* Effect.forEach(
    Array.from({ length: count }),
    () => Effect.map(manager.start({ title: "remembered" }), ({ id }) => id),
    { concurrency: 256 }
  )
  const told = ids.filter((_, index) => index % 100 === 0)
  yield* Effect.forEach(told, (id) =>
    journal.append([
      {
        stream: Topic.ofSession(id),
        after: 1,
        events: [{ _tag: "SessionUpdated", title: "reloaded" }],
        open: false,
        summary: "{}"
      }
    ])
  )
  return ids
})

describe("storms", () => {
  it.live("storm-10k: all sessions crash in one tick, and each is back with its state after one restart", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const sessions = yield* Sessions
      const registry = yield* Registry
      const ids = yield* startMany(10_000)
      const before = yield* restarted
      const turns = makeTurns()
      yield* Effect.sync(() => {
        for (const id of ids) Effect.runSync(sessions.crashChild(id))
        // What it costs to kill so many is not what it costs that they come back.
        turns.begin()
      })
      const started = process.cpuUsage()
      yield* within(
        "all are back",
        10_000,
        Effect.map(
          Effect.all([sessions.countChildren, registry.count, restarted]),
          ([{ active }, agents, now]) => active === ids.length && agents === ids.length && now - before >= ids.length
        )
      )
      const { system, user } = process.cpuUsage(started)
      const longest = turns.end()
      assert.strictEqual((yield* restarted) - before, ids.length)
      // In time of our own on the processor, since others are at work on this machine.
      assert.isBelow((system + user) / 1_000, 2_000, "milliseconds of work until all were back")
      assert.isBelow(longest, 100, "milliseconds of work in the longest turn of the event loop")
      for (const [index, id] of ids.entries()) {
        const { sequence, title } = yield* manager.get(id)
        assert.deepStrictEqual([title, sequence], index % 100 === 0 ? ["reloaded", 2] : ["remembered", 1])
      }
    }).pipe(Effect.provide(Runtime.layerMemory()), Effect.provideService(Metric.MetricRegistry, new Map()), quiet)
  )

  it.live("a session that crashes is back with its journal reloaded: 200 times, one by one", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* temporaryDirectory
      yield* Effect.gen(function* () {
        const manager = yield* SessionManager
        const sessions = yield* Sessions
        const ids = yield* Effect.forEach(Array.from({ length: 100 }), () =>
          Effect.map(manager.start({ title: "remembered" }), ({ id }) => id)
        )
        // A history to reload, and not only a first event.
        yield* Effect.forEach(ids, (id) =>
          Effect.forEach(Array.from({ length: 20 }), (_, at) => manager.update(id, { title: `title ${at}` }))
        )
        const times: Array<number> = []
        for (const id of [...ids, ...ids]) {
          const before = yield* restarted
          const crashed = performance.now()
          yield* sessions.crashChild(id)
          while ((yield* restarted) === before) yield* Effect.yieldNow
          const { sequence, title } = yield* manager.update(id, { metadata: {} })
          times.push(performance.now() - crashed)
          assert.deepStrictEqual([title, sequence > 20], ["title 19", true])
        }
        times.sort((a, b) => a - b)
        // Until it has journaled its next event.
        assert.isBelow(times[198] ?? 0, 250, "milliseconds, 99th percentile")
        assert.isBelow(times[199] ?? 0, 1_000, "milliseconds, the longest")
      }).pipe(Effect.provide(Runtime.layer({ dataDirectory })), quiet)
    }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.live("with 10,000 sessions, session manager and registry are rebuilt within their second", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const registry = yield* Registry
      const chaos = yield* Chaos
      const root = yield* Root
      const ids = yield* startMany(10_000)
      for (const path of ["coordinators/session manager", "foundation/registry"]) {
        const [place, id] = path.split("/")
        yield* chaos.kill(`espalier/${path}`)
        yield* within(
          `${path} is back with all it knew`,
          1_000,
          Effect.gen(function* () {
            const tree = yield* root.tree
            const child = tree.children.find((node) => node.id === place)?.children.find((node) => node.id === id)
            const session = ids.at(-1)
            if (child?.state !== "running" || child.restarts !== 1 || session === undefined) return false
            yield* manager.get(session)
            return (yield* registry.count) === ids.length && (yield* registry.find({ session })).length === 1
          })
        )
      }
    }).pipe(Effect.provide(Runtime.layerMemory({ chaos: true })), quiet)
  )

  it.live("poison-session: 10,000 siblings answer as fast as before while one crashes whenever it is used", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const sessions = yield* Sessions
      // Without those whose journal knows more than they do.
      const ids = (yield* startMany(10_102)).filter((_, index) => index % 100 !== 0)
      const poisoned = yield* manager.start({})
      const before = yield* restarted
      /** Used again and again, and each time it crashes until it is given up on. */
      const poison = Effect.gen(function* () {
        yield* Effect.ignore(manager.update(poisoned.id, { title: "taste" }))
        for (let crash = 0; crash < 4; crash++) {
          yield* Effect.ignore(sessions.crashChild(poisoned.id))
          yield* Effect.yieldNow
        }
        yield* Effect.sleep("5 millis")
      })
      const times = { alone: new Array<number>(), beside: new Array<number>() }
      let next = 0
      for (let round = 0; round < 60; round++) {
        const isAlone = round % 2 === 0
        const crashing = isAlone
          ? undefined
          : yield* Effect.forkChild(Effect.forever(poison), { startImmediately: true })
        for (let call = 0; call < 100; call++) {
          const id = ids[next++ % ids.length] ?? poisoned.id
          const asked = performance.now()
          yield* manager.update(id, { title: "well" })
          times[isAlone ? "alone" : "beside"].push(performance.now() - asked)
          if (call % 10 === 0) yield* Effect.sleep("1 millis")
        }
        if (crashing !== undefined) yield* Fiber.interrupt(crashing)
      }
      const crashes = (yield* restarted) - before
      assert.isAbove(crashes, 20)
      const tree = yield* Effect.flatMap(Root, (root) => root.tree)
      const node = tree.children.find(({ id }) => id === "coordinators")?.children.find(({ id }) => id === "sessions")
      assert.isTrue(node?.children.every(({ id, restarts }) => restarts === 0 || id === poisoned.id))
      assert.isAbove((yield* sessions.countChildren).active, ids.length)
      const at = (all: Array<number>, part: number) => all.sort((a, b) => a - b)[Math.floor(all.length * part)] ?? 0
      const ratio = (part: number) => at(times.beside, part) / at(times.alone, part)
      assert.isBelow(ratio(0.5), 1.3, "median of the siblings' answers, against that without it")
      assert.isBelow(ratio(0.99), 3, "their 99th percentile")
    }).pipe(Effect.provide(Runtime.layerMemory()), Effect.provideService(Metric.MetricRegistry, new Map()), quiet)
  )

  it.effect(
    "poison-session: it is stopped after its fourth crash in 5 seconds, its turn ends, its siblings go on",
    () =>
      inProcess()(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const sessions = yield* Sessions
          const world = yield* SessionWorld
          const siblings = yield* Effect.forEach(Array.from({ length: 200 }), () => manager.start({}))
          const poisoned = yield* manager.start({})
          yield* manager.send({ sessionId: poisoned.id, text: "/tool wait_again" })
          const before = yield* restarted
          for (let crash = 1; crash <= 4; crash++) {
            yield* eventually("the turn runs", () => world.runs.length === crash)
            yield* sessions.crashChild(poisoned.id)
            yield* TestClock.adjust("1 second")
          }
          const ended = yield* until(poisoned.id, is("TurnEnded"))
          assert.strictEqual(ended.outcome, "failed")
          assert.strictEqual(ended.failure?.code, "session_crashed")
          assert.strictEqual((yield* restarted) - before, 3)
          assert.strictEqual((yield* sessions.countChildren).active, siblings.length)
          assert.strictEqual((yield* manager.get(poisoned.id)).status, "idle")
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(world.runs.length, 4)
          assert.strictEqual((yield* eventsOf(poisoned.id)).filter(({ event }) => event._tag === "TurnEnded").length, 1)
          yield* manager.send({ sessionId: poisoned.id, text: "hello again" })
          const second = (events: ReadonlyArray<{ readonly event: { readonly _tag: string } }>) =>
            events.filter(({ event }) => event._tag === "TurnEnded").length === 2
          while (!second(yield* eventsOf(poisoned.id))) yield* Effect.yieldNow
        })
      ).pipe(Effect.provide(layerDurable), Effect.provideService(Metric.MetricRegistry, new Map()), quiet)
  )
})

const noop = Tool.make<{ readonly note?: string }, string, never>({
  name: "noop",
  description: "does nothing",
  weight: "heavy",
  parameters: Schema.Struct({ note: Schema.optionalKey(Schema.String) }),
  result: Schema.String,
  run: () => Effect.succeed("done")
})

describe("soak-leak", () => {
  const cycles = isLong ? 10_000 : 200
  // In a short run the heap's own noise, and what is kept on purpose and still grows, are larger than any slope.
  const most = (isLong ? 1 : 4) * 1024 * 1024

  /** Runs the cycles in a runtime of its own: afterwards everything is as it was, but for so much memory. */
  const leavesNothing = <E, R>(cycle: Effect.Effect<unknown, E, R>) =>
    Effect.gen(function* () {
      const dataDirectory = yield* temporaryDirectory
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const executors = yield* ToolExecutors
        const bus = yield* EventBus
        const inUse = Effect.all({
          process: counts,
          sessions: Effect.map(sessions.countChildren, ({ specs }) => specs),
          executors: Effect.map(executors.countChildren, ({ specs }) => specs),
          agents: Effect.flatMap(Registry, ({ count }) => count),
          tasks: Effect.flatMap(WorkerPool, ({ status }) =>
            Effect.map(status, ({ queued, running }) => queued + running)
          ),
          topics: Effect.map(
            bus.stats({ limit: 1_000 }),
            (all) => all.filter(({ subscribers }) => subscribers > 0).length
          )
        })
        const run = (times: number) =>
          Effect.forEach(Array.from({ length: times }), () => cycle, { concurrency: 32, discard: true })
        yield* run(32)
        yield* Effect.sleep("1 second")
        const before = yield* inUse
        const grown = yield* growth(cycles, run)
        // The last ones may still be on their way out.
        for (let look = 0; look < 100 && !Equal.equals(yield* inUse, before); look++) yield* Effect.sleep("50 millis")
        assert.deepStrictEqual(yield* inUse, before)
        assert.isBelow(grown, most, `${(grown / 1024 / 1024).toFixed(1)} MiB`)
      }).pipe(Effect.provide(Runtime.layer({ dataDirectory, tools: [noop] })), counted, quiet)
    }).pipe(Effect.scoped)

  it.live(
    `${2 * cycles} sessions with a worker each come and go, and nothing of them stays`,
    () =>
      leavesNothing(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const bus = yield* EventBus
          const { id } = yield* manager.start({})
          yield* manager.send({ sessionId: id, text: "hello" })
          const run = yield* manager.runTool({ sessionId: id, tool: "noop", args: {} })
          const workerId = "workerId" in run ? run.workerId : yield* Effect.die(new Error("it should be heavy"))
          yield* bus.subscribe({ topic: Topic.ofWorker(workerId), from: 1 }).pipe(
            Stream.takeUntil((delivery) => delivery._tag === "Event" && isTerminal(delivery.event as WorkerEvent)),
            Stream.runDrain
          )
          yield* manager.stop(id)
        })
      ),
    900_000
  )

  it.live(
    `${2 * cycles} subscribers of every policy come and go, and nothing of them stays`,
    () => {
      let next = 0
      const policies = ["catchup", "backpressure", "sliding", "dropping"] as const
      return leavesNothing(
        Effect.gen(function* () {
          const bus = yield* EventBus
          const topic = next % 2 === 0 ? Topic.health : Topic.agents
          const stream = bus.subscribe({ topic, policy: policies[next++ % policies.length] ?? "catchup" })
          const reader = yield* Effect.forkChild(Stream.runDrain(stream), { startImmediately: true })
          yield* Effect.yieldNow
          yield* Fiber.interrupt(reader)
        })
      )
    },
    900_000
  )
})
