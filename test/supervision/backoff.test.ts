/** What a supervisor does beyond OTP when it is asked to: pauses between restarts, and limits for starts. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import type { Backoff } from "../../services/supervision/planBackoff.ts"
import type { SupervisionEvent } from "../../services/supervision/SupervisionEvent.ts"
import { SupervisionEvents } from "../../services/supervision/SupervisionEvents.ts"
import { Supervisor, type SupervisorRef } from "../../services/supervision/Supervisor.ts"
import { makeProbe, settle } from "./probe.ts"

const backoff: Backoff = { initial: "100 millis", cap: "5 seconds", jitter: 0 }

const test = <A, E>(name: string, body: Effect.Effect<A, E, Supervisor | Scope.Scope>) =>
  it.effect(name, () => body.pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer)))

/** Starts once, then never again. */
const makeStarter = (spec: Partial<ChildSpec> = {}) => {
  const counts = { attempts: 0 }
  const crash = Deferred.makeUnsafe<never, Error>()
  const child: ChildSpec = {
    id: "a",
    start: Effect.suspend(() =>
      ++counts.attempts === 1 ? Effect.succeed(Deferred.await(crash)) : Effect.fail("it cannot start")
    ),
    ...spec
  }
  return { child, counts, crash: Effect.andThen(Deferred.fail(crash, new Error("crash")), settle) }
}

const kinds: ReadonlyArray<
  readonly [
    string,
    (intensity: number, period: number) => Effect.Effect<SupervisorRef, never, Supervisor | Scope.Scope>
  ]
> = [
  [
    "a static supervisor",
    (intensity, period) =>
      Supervisor.use((supervisor) => Effect.orDie(supervisor.start({ id: "top", intensity, period, children: [] })))
  ],
  [
    "a dynamic supervisor",
    (intensity, period) => Supervisor.use((supervisor) => supervisor.startDynamic({ id: "top", intensity, period }))
  ]
]

for (const [kind, start] of kinds) {
  describe(`back-off of ${kind}`, () => {
    test(
      "restart-start-fails: a child that cannot start is tried with growing pauses, at most 20 times in 10 seconds",
      Effect.gen(function* () {
        const ref = yield* start(1_000, 10_000)
        const { child, counts, crash } = makeStarter({ backoff: { ...backoff, jitter: 0.5 } })
        yield* ref.startChild(child)
        yield* crash
        yield* TestClock.adjust("10 seconds")
        assert.isAtLeast(counts.attempts, 5)
        assert.isAtMost(counts.attempts, 20)
        assert.strictEqual((yield* ref.tree).children[0]?.state, "restarting")
      })
    )

    test(
      "restart-start-fails: every attempt counts, and one too many is the end of the supervisor",
      Effect.gen(function* () {
        const ref = yield* start(4, 60_000)
        const { child, counts, crash } = makeStarter({ backoff })
        yield* ref.startChild(child)
        yield* crash
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(counts.attempts, 2)
        yield* TestClock.adjust("199 millis")
        assert.strictEqual(counts.attempts, 2)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(counts.attempts, 3)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(counts.attempts, 5)
        assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
      })
    )

    test(
      "a child that stayed up long enough begins with the first pause again",
      Effect.gen(function* () {
        const ref = yield* start(1_000, 1_000)
        const { child, crash, news } = makeProbe()
        yield* ref.startChild(child("a", { backoff }))
        for (const pause of [100, 200, 400]) {
          yield* crash("a")
          yield* TestClock.adjust(pause - 1)
          news()
          yield* TestClock.adjust(1)
          assert.strictEqual(news(), "+a")
        }
        yield* TestClock.adjust("5 seconds")
        yield* crash("a")
        news()
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(news(), "+a")
      })
    )

    test(
      "a child that is stopped while it waits for its restart stays down, and may be stopped with all others",
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const ref = yield* Effect.provideService(start(1_000, 1_000), Scope.Scope, scope)
        const { child, crash, news } = makeProbe()
        yield* ref.startChild(child("a", { backoff }))
        yield* ref.startChild(child("b", { backoff }))
        yield* crash("a")
        yield* crash("b")
        news()
        yield* ref.terminateChild("a")
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(news(), "")
      })
    )

    test(
      "the pause is told with the restart, and why the life before it ended",
      Effect.gen(function* () {
        const events: Array<SupervisionEvent> = []
        const ref = yield* Effect.provideService(start(1_000, 1_000), SupervisionEvents, {
          tell: (event) => events.push(event),
          take: Effect.never
        })
        const { child, crash } = makeProbe()
        yield* ref.startChild(child("a", { backoff }))
        yield* crash("a")
        yield* TestClock.adjust("100 millis")
        assert.deepStrictEqual(events.at(-1), {
          _tag: "ChildRestarted",
          path: "top/a",
          attempt: 1,
          delay: 100,
          reason: { _tag: "Failed", message: "a broke" }
        })
      })
    )

    test(
      "a start that takes too long has failed, the first as well as a restart",
      Effect.gen(function* () {
        const ref = yield* start(2, 60_000)
        const slow: ChildSpec = { id: "slow", start: Effect.never, startTimeout: "3 seconds" }
        const asked = yield* Effect.forkChild(Effect.flip(ref.startChild(slow)), { startImmediately: true })
        yield* TestClock.adjust("3 seconds")
        assert.match((yield* Fiber.join(asked)).message, /"slow" did not start: "slow" had not started after 3s/)
        let starts = 0
        const { child, crash } = makeProbe()
        const quick = child("quick")
        yield* ref.startChild({
          ...quick,
          startTimeout: "3 seconds",
          start: Effect.suspend(() => (++starts === 1 ? quick.start : Effect.never))
        })
        yield* crash("quick")
        assert.strictEqual(starts, 2)
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual(starts, 3)
        yield* TestClock.adjust("3 seconds")
        yield* settle
        assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
      })
    )

    test(
      "a start that ignores its end is left behind when its shutdown time is over",
      Effect.gen(function* () {
        const ref = yield* start(2, 60_000)
        const deaf: ChildSpec = {
          id: "deaf",
          start: Effect.uninterruptible(Effect.sleep("1 hour")).pipe(Effect.as(Effect.never)),
          startTimeout: "1 second",
          shutdown: "2 seconds"
        }
        const asked = yield* Effect.forkChild(Effect.flip(ref.startChild(deaf)), { startImmediately: true })
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual((yield* Fiber.join(asked))._tag, "ChildStartFailed")
        assert.strictEqual((yield* ref.countChildren).active, 0)
        yield* TestClock.adjust("1 hour")
      })
    )

    test(
      "a start in time has no limit afterwards",
      Effect.gen(function* () {
        const ref = yield* start(0, 1_000)
        const { child, news } = makeProbe()
        yield* ref.startChild(child("a", { startTimeout: "1 second" }))
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(news(), "+a")
      })
    )

    test(
      "a back-off or a limit that makes no sense is refused",
      Effect.gen(function* () {
        const ref = yield* start(0, 1_000)
        const { child } = makeProbe()
        const cap = yield* Effect.flip(ref.startChild(child("a", { backoff: { initial: 0 } })))
        assert.match(cap.message, /the backoff of "a" needs an `initial`/)
        const limit = yield* Effect.flip(ref.startChild(child("a", { startTimeout: "Infinity" })))
        assert.match(limit.message, /the startTimeout of "a"/)
      })
    )
  })
}

describe("back-off among siblings", () => {
  const among = (strategy: "one_for_all" | "rest_for_one") =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor
      const probe = makeProbe()
      const ref = yield* supervisor.start({
        id: "top",
        strategy,
        children: [probe.child("a"), probe.child("b", { backoff }), probe.child("c")]
      })
      probe.news()
      yield* probe.crash("b")
      return { ref, ...probe }
    })

  test(
    "one_for_all: the others are stopped at once and come back in order after the pause",
    Effect.gen(function* () {
      const { news } = yield* among("one_for_all")
      assert.strictEqual(news(), "-b -c -a")
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(news(), "+a +b +c")
    })
  )

  test(
    "rest_for_one: what stands before goes on, what stands after comes back with it",
    Effect.gen(function* () {
      const { news } = yield* among("rest_for_one")
      assert.strictEqual(news(), "-b -c")
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(news(), "+b +c")
    })
  )

  test(
    "one that is stopped for good while all wait for it does not keep them waiting",
    Effect.gen(function* () {
      const { news, ref } = yield* among("one_for_all")
      news()
      yield* ref.terminateChild("b")
      assert.strictEqual(news(), "+a +c")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(news(), "")
    })
  )

  test(
    "another one's crash meanwhile starts all that it has to at once, and nothing is started twice",
    Effect.gen(function* () {
      const { crash, news } = yield* among("rest_for_one")
      news()
      yield* crash("a")
      assert.strictEqual(news(), "-a +a +b +c")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(news(), "")
    })
  )
})

describe("the pause that an event tells of", () => {
  it.effect("is the child's own: one that was stopped for a sibling's sake has had none", () => {
    const told: Array<SupervisionEvent> = []
    return Effect.gen(function* () {
      const probe = makeProbe()
      const supervisor = yield* Supervisor
      yield* supervisor.start({
        id: "top",
        strategy: "one_for_all",
        children: [probe.child("slow", { backoff }), probe.child("quick")]
      })
      yield* probe.crash("slow")
      yield* TestClock.adjust("100 millis")
      yield* probe.crash("quick")
      const delays = told.flatMap((event) => (event._tag === "ChildRestarted" ? [`${event.path} ${event.delay}`] : []))
      assert.deepStrictEqual(delays, ["top/slow 100", "top/quick 0", "top/slow 0", "top/quick 0"])
    }).pipe(
      Effect.scoped,
      Effect.provide(FiberSupervisor.layer),
      Effect.provideService(SupervisionEvents, { tell: (event) => told.push(event), take: Effect.never })
    )
  })
})
