import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as PublishedSupervisionEvents from "../../layers/supervision/PublishedSupervisionEvents.ts"
import * as QueuedSupervisionEvents from "../../layers/supervision/QueuedSupervisionEvents.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import { Coordinators, Sessions } from "../../services/supervision/Places.ts"
import { SupervisionEvents } from "../../services/supervision/SupervisionEvents.ts"
import { makeProbe, settle } from "./probe.ts"

const makeBus = () => {
  const published: Array<ReadonlyArray<RuntimeEvent>> = []
  const bus = Layer.succeed(EventBus, {
    publish: () => Effect.die("not for supervision"),
    publishEphemeral: () => Effect.die("not for supervision"),
    publishSystem: (topic, events) =>
      Effect.sync(() => {
        assert.strictEqual(topic, "system:agents")
        published.push(events)
      }),
    subscribe: () => Stream.never,
    open: () => Effect.die("not for supervision"),
    stats: () => Effect.die("not for supervision")
  })
  return { bus, published }
}

const TreeLayer = RuntimeTree.layer.pipe(Layer.provide(FiberSupervisor.layer))
const RuntimeLayer = (capacity: number, bus: Layer.Layer<EventBus>) =>
  PublishedSupervisionEvents.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(TreeLayer, bus)),
    Layer.provideMerge(QueuedSupervisionEvents.layer({ capacity }))
  )

describe("supervision events", () => {
  it.effect("what happens to children is published on system:agents, in order", () => {
    const { bus, published } = makeBus()
    return Effect.gen(function* () {
      const probe = makeProbe()
      const coordinators = yield* Coordinators
      yield* settle
      published.length = 0
      const path = "espalier/coordinators/a"
      yield* coordinators.startChild(probe.child("a"))
      yield* probe.crash("a")
      yield* coordinators.terminateChild("a")
      yield* settle
      assert.deepStrictEqual(published.flat(), [
        { _tag: "ChildStarted", path, reason: "call" },
        { _tag: "ChildExited", path, reason: { _tag: "Failed", message: "a broke" } },
        { _tag: "ChildRestarted", path, attempt: 1, delay: 0, reason: { _tag: "Failed", message: "a broke" } },
        { _tag: "ChildTerminated", path, reason: { _tag: "Shutdown" } }
      ])
    }).pipe(Effect.provide(RuntimeLayer(100, bus)))
  })

  it.effect("a start that fails is told with its reason, and a restart with its attempt too, until it succeeds", () => {
    const { bus, published } = makeBus()
    return Effect.gen(function* () {
      const coordinators = yield* Coordinators
      const sessions = yield* Sessions
      /** Starts, then refuses twice, then starts again. */
      const stubborn = () => {
        let starts = 0
        return Effect.suspend((): ChildSpec["start"] => {
          starts++
          if (starts === 1) return Effect.succeed(Effect.fail("crash"))
          return starts < 4 ? Effect.fail(new Error(`no start ${starts}`)) : Effect.succeed(Effect.never)
        })
      }
      for (const [place, path] of [
        [coordinators, "espalier/coordinators"],
        [sessions, "espalier/coordinators/sessions"]
      ] as const) {
        yield* settle
        published.length = 0
        yield* Effect.flip(place.startChild({ id: "never", start: Effect.fail(new Error("never")) }))
        yield* place.startChild({ id: "again", start: stubborn() })
        yield* settle
        const failed = (message: string) => ({ _tag: "Failed", message }) as const
        assert.deepStrictEqual(published.flat(), [
          { _tag: "ChildNotStarted", path: `${path}/never`, attempt: 0, reason: failed("never") },
          { _tag: "ChildStarted", path: `${path}/again`, reason: "call" },
          { _tag: "ChildExited", path: `${path}/again`, reason: failed("crash") },
          { _tag: "ChildNotStarted", path: `${path}/again`, attempt: 1, reason: failed("no start 2") },
          { _tag: "ChildNotStarted", path: `${path}/again`, attempt: 2, reason: failed("no start 3") },
          { _tag: "ChildRestarted", path: `${path}/again`, attempt: 3, delay: 0, reason: failed("no start 3") }
        ])
      }
    }).pipe(Effect.provide(RuntimeLayer(100, bus)))
  })

  it.effect("a child that has had its last word was stopped, and did not end by itself", () => {
    const { bus, published } = makeBus()
    return Effect.gen(function* () {
      const sessions = yield* Sessions
      yield* sessions.startChild({
        id: "doomed",
        start: Effect.succeed(Effect.fail("doomed")),
        onGiveUp: () => Effect.void
      })
      yield* settle
      assert.deepStrictEqual(published.flat().at(-1), {
        _tag: "ChildTerminated",
        path: "espalier/coordinators/sessions/doomed",
        reason: { _tag: "Shutdown" }
      })
    }).pipe(Effect.provide(RuntimeLayer(100, bus)))
  })

  it.effect("giving up is told: of a session alone by its path, of a supervisor by its own", () => {
    const { bus, published } = makeBus()
    return Effect.gen(function* () {
      const sessions = yield* Sessions
      const coordinators = yield* Coordinators
      const nested = yield* coordinators.startSupervisor(
        { id: "n", intensity: 0, children: [] },
        { restart: "transient" }
      )
      yield* settle
      const doomed = { id: "doomed", start: Effect.succeed(Effect.fail("doomed")) }
      yield* sessions.startChild(doomed)
      yield* nested.startChild(doomed)
      yield* settle
      const reason = { _tag: "Failed", message: "doomed" } as const
      assert.deepStrictEqual(
        published.flat().filter((event) => event._tag === "SupervisorGaveUp"),
        [
          { _tag: "SupervisorGaveUp", path: "espalier/coordinators/sessions/doomed", restarts: 3, reason },
          { _tag: "SupervisorGaveUp", path: "espalier/coordinators/n", restarts: 0, reason }
        ]
      )
    }).pipe(Effect.provide(RuntimeLayer(100, bus)))
  })

  it.effect("10,000 starts in one tick hold nobody up: the oldest events go and are counted", () => {
    const { bus, published } = makeBus()
    return Effect.gen(function* () {
      const sessions = yield* Sessions
      yield* settle
      published.length = 0
      for (let index = 0; index < 10_000; index++) {
        yield* sessions.startChild({ id: `s${index}`, start: Effect.succeed(Effect.never) })
      }
      assert.strictEqual((yield* sessions.countChildren).active, 10_000)
      yield* settle
      const last = published.flat().at(-1)
      assert.deepStrictEqual(last, {
        _tag: "ChildStarted",
        path: "espalier/coordinators/sessions/s9999",
        reason: "call"
      })
      assert.isTrue(published.every((batch) => batch.length <= 512))
    }).pipe(Effect.provide(RuntimeLayer(1_000, bus)))
  })

  it.effect("a full queue loses the oldest and says how many", () =>
    Effect.gen(function* () {
      const { take, tell } = yield* SupervisionEvents
      for (const path of ["a", "b", "c", "d", "e"]) tell?.({ _tag: "ChildStarted", path, reason: "call" })
      assert.deepStrictEqual(yield* take, {
        events: ["c", "d", "e"].map((path) => ({ _tag: "ChildStarted" as const, path, reason: "call" as const })),
        lost: 2
      })
      tell?.({ _tag: "ChildStarted", path: "f", reason: "call" })
      assert.deepStrictEqual(yield* take, { events: [{ _tag: "ChildStarted", path: "f", reason: "call" }], lost: 0 })
    }).pipe(Effect.provide(QueuedSupervisionEvents.layer({ capacity: 3 })))
  )
})
