/** Whatever breaks in a running runtime, and however: who stands on it starts again, nobody else notices, all answer. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, References, Schema, Stream } from "effect"
import { LanguageModel } from "effect/ai"
import { TestClock } from "effect/testing"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import * as MemoryRegistry from "../../layers/registry/MemoryRegistry.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { Registry } from "../../services/registry/Registry.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { eventually } from "../support/eventually.ts"
import { breaks, breaksOfChildren, Sabotage } from "../support/Sabotage.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const injections = process.env["ESPALIER_LONG"] === undefined ? 2_000 : 100_000
const SESSIONS = 8
const sessionPath = (id: SessionId) => `espalier/coordinators/sessions/${id}`

/** In the order in which they stand on each other. */
const foundation = ["journal", "event bus", "supervision events", "registry"].map((id) => `espalier/foundation/${id}`)
const others = ["coordinators/session manager", "coordinators/monitor", "workers/pool", "workers/maintenance"]
/** Each with those who are started again when it crashes. */
const parts = new Map<string, ReadonlyArray<string>>([
  ...foundation.map((path, at) => [path, foundation.slice(at)] as const),
  ...others.map((id) => [`espalier/${id}`, [`espalier/${id}`]] as const)
])
const executors = "espalier/workers/tool executors"

/** Places that a session passes while it is at work. */
const places = ["tool", "worker", "model", "append", "registry", "publish"] as const

const tool = (sabotage: Sabotage, weight: "fast" | "heavy") =>
  Effect.succeed(
    Tool.make<Record<string, never>, string, never>({
      name: weight,
      description: "may break",
      weight,
      idempotent: true,
      parameters: Schema.Struct({}),
      result: Schema.String,
      run: () =>
        // A worker runs until the clock goes on, so that it can be broken from outside too.
        weight === "fast"
          ? Effect.as(sabotage.pass("tool"), "done")
          : Effect.delay(Effect.as(sabotage.pass("worker"), "done"), "100 millis")
    })
  ).pipe(Effect.flatten)

const runtime = (sabotage: Sabotage, directory: string) =>
  Runtime.layerMemory({
    supervisor: sabotage.layer,
    tools: [tool(sabotage, "fast"), tool(sabotage, "heavy")],
    journal: Layer.effect(
      Journal,
      Effect.map(Journal, (journal) =>
        Journal.of({
          ...journal,
          append: (appends) =>
            Effect.andThen(
              // Not of the pool's appends, which are another's: the session's own.
              appends[0]?.stream.startsWith("session:") ? sabotage.pass("append") : Effect.void,
              journal.append(appends)
            )
        })
      )
    ).pipe(Layer.provide(SqlJournal.layer.pipe(Layer.provide(DataDirectory.layer(directory))))),
    eventBus: Layer.effect(
      EventBus,
      Effect.map(PubSubEventBus.make(), (bus) =>
        EventBus.of({
          ...bus,
          publish: (events) =>
            Effect.andThen(
              bus.publish(events),
              events[0]?.topic.startsWith("session:") ? sabotage.pass("publish") : Effect.void
            )
        })
      )
    ),
    registry: Layer.effect(
      Registry,
      Effect.map(MemoryRegistry.make, (registry) =>
        Registry.of({
          ...registry,
          enter: (registration) =>
            Effect.map(registry.enter(registration), (handle) => ({
              get agent() {
                return handle.agent
              },
              update: (update) =>
                Effect.andThen(
                  registration.key.role === "main" ? sabotage.pass("registry") : Effect.void,
                  handle.update(update)
                ),
              lost: handle.lost,
              leave: handle.leave
            }))
        })
      )
    ),
    model: Layer.effect(
      LanguageModel.LanguageModel,
      LanguageModel.make({
        generateText: () => Effect.die("turns stream"),
        streamText: () =>
          Stream.unwrap(
            Effect.as(
              sabotage.pass("model"),
              Stream.fromIterable([
                { type: "text-start", id: "a" } as const,
                { type: "text-delta", id: "a", delta: "hello" } as const,
                { type: "text-end", id: "a" } as const
              ])
            )
          )
      })
    )
  })

/** Kinds of crash, each in every way that it can come about. */
const ofChildren = [...Object.keys(breaks), ...breaksOfChildren]
const cases = [
  ...[...parts.keys(), "session", "running worker"].flatMap((what) => ofChildren.map((way) => ({ what, way }))),
  ...[...places, "subscriber"].flatMap((what) => Object.keys(breaks).map((way) => ({ what, way })))
]

const isTyped = <A, E>(what: string, exit: Exit.Exit<A, E>) =>
  assert.isTrue(Exit.isSuccess(exit) || !Cause.hasDies(exit.cause), `${what} reached the caller as a defect`)

/** Crashes in a row, among sessions of their own. */
const round = Effect.fnUntraced(function* (sabotage: Sabotage, first: number, count: number) {
  const manager = yield* SessionManager
  const bus = yield* EventBus
  const journal = yield* Journal
  const pool = yield* WorkerPool

  const start = Effect.gen(function* () {
    const { id } = yield* manager.start({})
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
    return { id, heard }
  })
  const sessions = yield* Effect.all(Array.from({ length: SESSIONS }, () => start))

  const breakAt = Effect.fnUntraced(function* (what: string, way: string, sessionId: SessionId) {
    const group = parts.get(what)
    if (group !== undefined || what === "session") {
      const path = group === undefined ? sessionPath(sessionId) : what
      assert.isTrue(sabotage.strike(path, way), `${path} was not there`)
      return group ?? [path]
    }
    if (what === "running worker") {
      yield* manager.runTool({ sessionId, tool: "heavy", args: {} })
      yield* eventually("the worker runs", () => sabotage.below(executors).length === 1)
      for (const path of sabotage.below(executors)) sabotage.strike(path, way)
      return []
    }
    if (what === "subscriber") {
      const reader = bus
        .subscribe({ topic: Topic.ofSession(sessionId), from: 1 })
        .pipe(Stream.runForEach(() => Effect.asVoid(breaks[way] ?? Effect.void)))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(reader)))
      return []
    }
    sabotage.arm(what, way)
    if (what === "tool" || what === "worker") {
      isTyped(
        what,
        yield* Effect.exit(manager.runTool({ sessionId, tool: what === "tool" ? "fast" : "heavy", args: {} }))
      )
    } else {
      isTyped(what, yield* Effect.exit(manager.send({ sessionId, text: "hello" })))
    }
    yield* TestClock.adjust("1 second")
    yield* eventually(`${what} breaks`, () => !sabotage.isArmed)
    return []
  })

  for (let number = first; number < first + count; number++) {
    const { what, way } = cases[number % cases.length] ?? { what: "session", way: "dies" }
    const name = `crash ${number}: ${what} ${way}`
    const victim = sessions[number % SESSIONS]?.id
    const bystander = sessions[(number + 1) % SESSIONS]?.id
    if (victim === undefined || bystander === undefined) return
    const before = new Map(sabotage.starts)
    const mustStart = yield* breakAt(what, way, victim)
    yield* eventually(`${name}: started again`, () =>
      mustStart.every((path) => sabotage.starts.get(path) !== before.get(path))
    )
    // Away from the crashes before, as intensity counts them.
    yield* TestClock.adjust("6 seconds")
    for (const [path, times] of before) {
      const mayStart = mustStart.includes(path) || (path === sessionPath(victim) && !parts.has(what))
      const now = sabotage.starts.get(path) ?? 0
      if (mayStart)
        assert.isAtMost(now - times, way === "bad restart" ? 2 : 1, `${name}: ${path} was started too often`)
      else assert.strictEqual(now, times, `${name}: ${path} was touched`)
    }
    for (const id of [victim, bystander]) assert.strictEqual((yield* manager.update(id, { title: name })).title, name)
    let look = 0
    while ((yield* manager.get(victim)).status !== "idle" || (yield* pool.status).running > 0) {
      assert.isBelow(++look, 100, `${name}: it is not at rest`)
      yield* TestClock.adjust("100 millis")
    }
  }

  for (const { heard, id } of sessions) {
    const events = yield* journal.read({ stream: Topic.ofSession(id), after: 0, limit: 100_000 })
    yield* eventually("the subscriber has heard all", () => heard.length >= events.length)
    assert.deepStrictEqual(
      heard,
      Array.from(events, ({ sequence }) => sequence)
    )
    const count = (tag: string) => events.filter(({ event }) => event._tag === tag).length
    assert.strictEqual(count("TurnEnded"), count("TurnStarted"))
    assert.strictEqual(count("ToolCallSettled"), count("ToolCallRequested"))
    yield* manager.stop(id)
    sabotage.starts.delete(sessionPath(id))
  }
}, Effect.scoped)

const ROUND = 100

describe("any-crash-contained", () => {
  it.effect(
    `${injections} crashes in every component of a runtime: only those who stand on it start again, and all answer`,
    () =>
      Effect.gen(function* () {
        const sabotage = new Sabotage()
        const directory = yield* temporaryDirectory
        yield* Effect.gen(function* () {
          for (let first = 0; first < injections; first += ROUND) yield* round(sabotage, first, ROUND)
        }).pipe(Effect.provide(runtime(sabotage, directory)))
      }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")),
    3_600_000
  )
})
