/** What every `Supervisor` promises, in OTP's words. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, type Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import type {
  ChildSpec,
  DynamicSupervisorSpec,
  Strategy,
  SupervisorSpec
} from "../../services/supervision/ChildSpec.ts"
import { Supervisor, type SupervisorRef } from "../../services/supervision/Supervisor.ts"
import { makeProbe, settle } from "../supervision/probe.ts"

export const supervisorContract = (layer: Layer.Layer<Supervisor>) => {
  const test = (name: string, body: () => Generator<Effect.Effect<unknown, unknown, Supervisor | Scope.Scope>, void>) =>
    it.effect(name, () =>
      // The clock's first sleep would not survive in the finalizer of an interrupted fiber: the test clock interrupts it.
      Effect.andThen(TestClock.adjust("1 minute"), Effect.provide(Effect.gen(body), layer))
    )

  const start = (children: ReadonlyArray<ChildSpec>, flags: Omit<SupervisorSpec, "id" | "children"> = {}) =>
    Effect.flatMap(Supervisor, (supervisor) => supervisor.start({ id: "top", children, ...flags }))

  /** A supervisor in a scope of its own, which the test may close. */
  const startIn = (scope: Scope.Scope, ...args: Parameters<typeof start>) => Scope.provide(start(...args), scope)

  const states = (ref: SupervisorRef) =>
    Effect.map(ref.whichChildren, (children) => children.map(({ id, state }) => `${id} ${state}`).join(", "))

  describe("start and stop", () => {
    test("children start in order and stop in reverse", function* () {
      const { child, news } = makeProbe()
      const scope = yield* Scope.make()
      const ref = yield* startIn(scope, [child("a"), child("b"), child("c")])
      assert.strictEqual(news(), "+a +b +c")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(news(), "-c -b -a")
      assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
    })

    test("the next child starts only when the one before has initialised", function* () {
      const { child, news } = makeProbe()
      const gate = yield* Deferred.make<void>()
      const slow: ChildSpec = { id: "slow", start: Effect.as(Deferred.await(gate), Effect.never) }
      const starting = yield* Effect.forkChild(Effect.scoped(start([child("a"), slow, child("b")])))
      yield* settle
      assert.strictEqual(news(), "+a")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(starting)
      assert.strictEqual(news(), "+b -b -a")
    })

    test("a child that does not start fails the supervisor, and those before it are stopped in reverse", function* () {
      const { child, news } = makeProbe()
      const broken: ChildSpec = { id: "broken", start: Effect.fail(new Error("no such file")) }
      const failure = yield* Effect.flip(start([child("a"), child("b"), broken, child("c")]))
      assert.deepStrictEqual([failure._tag, failure.id], ["ChildStartFailed", "broken"])
      assert.include(failure.message, "no such file")
      assert.strictEqual(news(), "+a +b -b -a")
    })

    test("two children of one id are refused before any is started", function* () {
      const { child, news } = makeProbe()
      const failure = yield* Effect.flip(start([child("b"), child("a"), child("a")]))
      assert.strictEqual(failure._tag, "ChildStartFailed")
      assert.include(failure.message, 'two children have the id "a"')
      assert.strictEqual(news(), "")
    })

    test("specs that OTP refuses are refused with the reason", function* () {
      const { child, log } = makeProbe()
      const refused = [
        start([child("a", { significant: true, restart: "transient" })]),
        start([child("a", { significant: true })], { autoShutdown: "any_significant" }),
        start([child("")]),
        start([child("a")], { intensity: -1 }),
        start([child("a")], { intensity: 1.5 }),
        start([child("a")], { period: 0 })
      ]
      for (const attempt of refused) assert.strictEqual((yield* Effect.flip(attempt))._tag, "ChildStartFailed")
      assert.deepStrictEqual(log, [])
    })

    test("an interrupted start leaves nothing behind", function* () {
      const { child, news } = makeProbe()
      const starting = yield* Effect.forkChild(
        Effect.scoped(start([child("a"), { id: "never", start: Effect.never }])),
        { startImmediately: true }
      )
      yield* settle
      yield* Fiber.interrupt(starting)
      assert.strictEqual(news(), "+a -a")
    })
  })

  describe("restart types", () => {
    for (const [restart, afterCrash, afterEnd] of [
      ["permanent", "-a +a", "-a +a"],
      ["transient", "-a +a", "-a"],
      ["temporary", "-a", "-a"]
    ] as const) {
      test(`a ${restart} child after a crash, after a normal end and after a wanted stop`, function* () {
        for (const [end, expected] of [
          ["crash", afterCrash],
          ["fail", afterCrash],
          ["finish", afterEnd]
        ] as const) {
          const probe = makeProbe()
          const ref = yield* start([probe.child("a", { restart })])
          probe.news()
          yield* probe[end]("a")
          assert.strictEqual(probe.news(), expected)
          const left = restart === "temporary" ? "" : expected === "-a" ? "a stopped" : "a running"
          assert.strictEqual(yield* states(ref), left)
        }
        const probe = makeProbe()
        yield* start([probe.child("a", { restart })])
        probe.news()
        yield* probe.finish("a", { _tag: "Shutdown" })
        assert.strictEqual(probe.news(), restart === "permanent" ? "-a +a" : "-a")
      })
    }

    test("finalizers have run before a replacement starts", function* () {
      const log: Array<string> = []
      const boom = yield* Deferred.make<void>()
      const ref = yield* start([
        {
          id: "a",
          start: Effect.gen(function* () {
            log.push("start")
            if (log.length > 1) return Effect.never
            yield* Effect.addFinalizer(() =>
              Effect.delay(
                Effect.sync(() => log.push("finalized")),
                "2 seconds"
              )
            )
            return Effect.andThen(Deferred.await(boom), Effect.die("boom"))
          })
        }
      ])
      yield* Deferred.succeed(boom, undefined)
      yield* TestClock.adjust("1999 millis")
      assert.deepStrictEqual(log, ["start"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(log, ["start", "finalized", "start"])
      assert.strictEqual(yield* states(ref), "a running")
    })

    test("any-crash-contained: throw, defect, rejection, interruption and bad finalizer touch no sibling", function* () {
      const { child, news } = makeProbe()
      const crashes: Record<string, ChildSpec["start"]> = {
        throws: Effect.succeed(
          Effect.sync(() => {
            throw new Error("thrown")
          })
        ),
        dies: Effect.succeed(Effect.die("defect")),
        rejects: Effect.succeed(Effect.promise(() => Promise.reject(new Error("rejected")))),
        interrupts: Effect.succeed(Effect.interrupt),
        finalizer: Effect.as(
          Effect.addFinalizer(() => Effect.die("bad finalizer")),
          Effect.void
        ),
        overflows: Effect.succeed(
          Effect.sync(function deeper(): number {
            return 1 + deeper()
          })
        )
      }
      const ref = yield* start([child("a")])
      for (const [id, start] of Object.entries(crashes)) {
        yield* ref.startChild({ id, start, restart: "temporary" })
        yield* Effect.promise(() => Promise.resolve())
        yield* settle
      }
      assert.strictEqual(news(), "+a")
      assert.strictEqual(yield* states(ref), "a running")
    })
  })

  describe("strategies", () => {
    const after: Record<Strategy, string> = {
      one_for_one: "-b +b",
      one_for_all: "-b -d -c -a +a +b +c +d",
      rest_for_one: "-b -d -c +b +c +d"
    }
    for (const strategy of ["one_for_one", "one_for_all", "rest_for_one"] as const) {
      test(`${strategy} restarts whom it says, stopping in reverse and starting in order`, function* () {
        const probe = makeProbe()
        const ref = yield* start(
          ["a", "b", "c", "d"].map((id) => probe.child(id)),
          { strategy }
        )
        probe.news()
        yield* probe.crash("b")
        assert.strictEqual(probe.news(), after[strategy])
        assert.strictEqual(yield* states(ref), "a running, b running, c running, d running")
      })
    }

    test("two that crash in one tick are restarted together once", function* () {
      const boom = yield* Deferred.make<void>()
      const log: Array<string> = []
      const child = (id: string): ChildSpec => ({
        id,
        start: Effect.sync(() => {
          log.push(id)
          return log.length > 2 ? Effect.never : Effect.andThen(Deferred.await(boom), Effect.die("boom"))
        })
      })
      const blocker: ChildSpec = {
        id: "blocker",
        start: Effect.as(
          Effect.addFinalizer(() => Effect.yieldNow),
          Effect.never
        )
      }
      const ref = yield* start([child("a"), child("b"), blocker], { strategy: "one_for_all", intensity: 1 })
      yield* Deferred.succeed(boom, undefined)
      yield* settle
      assert.deepStrictEqual(log, ["a", "b", "a", "b"])
      assert.strictEqual(yield* states(ref), "a running, b running, blocker running")
    })

    test("one_for_all drops temporary siblings and starts those that had been stopped", function* () {
      const probe = makeProbe()
      const ref = yield* start([probe.child("a"), probe.child("b", { restart: "temporary" }), probe.child("c")], {
        strategy: "one_for_all"
      })
      yield* ref.terminateChild("a")
      probe.news()
      yield* probe.crash("c")
      assert.strictEqual(probe.news(), "-c -b +a +c")
      assert.strictEqual(yield* states(ref), "a running, c running")
    })

    test("rest_for_one goes on from the child that would not start", function* () {
      const probe = makeProbe()
      let refusals = 2
      const stubborn: ChildSpec = {
        id: "b",
        start: Effect.suspend(() => {
          probe.log.push("?b")
          return probe.log.includes("-a") && refusals-- > 0 ? Effect.fail("not yet") : Effect.succeed(Effect.never)
        })
      }
      const ref = yield* start([probe.child("a"), stubborn, probe.child("c")], { strategy: "rest_for_one" })
      probe.news()
      yield* probe.crash("a")
      assert.strictEqual(probe.news(), "-a -c +a ?b ?b ?b +c")
      assert.strictEqual(yield* states(ref), "a running, b running, c running")
    })
  })

  describe("restart intensity", () => {
    for (const crashes of [3, 4]) {
      test(`intensity-boundary: ${crashes} crashes in 5 seconds`, function* () {
        const probe = makeProbe()
        const ref = yield* start([probe.child("a"), probe.child("b"), probe.child("c")])
        probe.news()
        for (let crash = 0; crash < crashes; crash++) {
          yield* probe.crash("b")
          if (crash < 3) yield* TestClock.adjust("1 second")
        }
        if (crashes === 3) {
          assert.strictEqual(probe.news(), "-b +b -b +b -b +b")
          assert.strictEqual(yield* states(ref), "a running, b running, c running")
        } else {
          assert.strictEqual(probe.news(), "-b +b -b +b -b +b -b -c -a")
          assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
          assert.strictEqual((yield* Effect.flip(ref.startChild(probe.child("d"))))._tag, "SupervisorStopped")
        }
      })
    }

    test("crashes further apart than the period are forgiven for ever", function* () {
      const probe = makeProbe()
      const ref = yield* start([probe.child("a")], { intensity: 1, period: "5 seconds" })
      for (let crash = 0; crash < 20; crash++) {
        yield* probe.crash("a")
        yield* TestClock.adjust("5001 millis")
      }
      assert.strictEqual(yield* states(ref), "a running")
    })

    test("a restart exactly one period old still counts, as in OTP", function* () {
      const probe = makeProbe()
      const ref = yield* start([probe.child("a")], { intensity: 1, period: "5 seconds" })
      yield* probe.crash("a")
      yield* TestClock.adjust("5 seconds")
      yield* probe.crash("a")
      assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
    })

    test("intensity 0 allows no restart", function* () {
      const probe = makeProbe()
      const ref = yield* start([probe.child("a"), probe.child("b")], { intensity: 0 })
      probe.news()
      yield* probe.crash("a")
      assert.strictEqual(probe.news(), "-a -b")
      assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
    })

    test("restart-start-fails: a failed restart counts too, and there is no busy loop", function* () {
      const probe = makeProbe()
      let starts = 0
      const boom = yield* Deferred.make<void>()
      const ref = yield* start([
        probe.child("a"),
        {
          id: "b",
          start: Effect.suspend(() =>
            ++starts === 1
              ? Effect.succeed(Effect.andThen(Deferred.await(boom), Effect.die("boom")))
              : Effect.fail("cannot")
          )
        }
      ])
      yield* Deferred.succeed(boom, undefined)
      yield* settle
      yield* settle
      assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
      assert.strictEqual(starts, 4)
      assert.strictEqual(probe.news(), "+a -a")
    })

    test("a supervisor that gives up is started again by its own, which gives up in its turn", function* () {
      const probe = makeProbe()
      const ref = yield* start([probe.child("a")], { intensity: 1 })
      const nested = yield* ref.startSupervisor({ id: "nested", intensity: 0, children: [probe.child("b")] })
      probe.news()
      yield* probe.crash("b")
      assert.strictEqual(probe.news(), "-b +b")
      assert.strictEqual(yield* states(nested), "b running")
      yield* probe.crash("b")
      assert.strictEqual(probe.news(), "-b -a")
      assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
    })

    test("a transient supervisor that gives up stays down", function* () {
      const probe = makeProbe()
      const ref = yield* start([])
      yield* ref.startSupervisor({ id: "nested", intensity: 0, children: [probe.child("b")] }, { restart: "transient" })
      probe.news()
      yield* probe.crash("b")
      assert.strictEqual(probe.news(), "-b")
      assert.strictEqual(yield* states(ref), "nested stopped")
    })
  })

  describe("shutdown", () => {
    const deaf = (id: string, shutdown: ChildSpec["shutdown"], log: Array<string>): ChildSpec => ({
      id,
      shutdown,
      start: Effect.as(
        Effect.addFinalizer(() =>
          Effect.delay(
            Effect.sync(() => log.push(`-${id}`)),
            "60 seconds"
          )
        ),
        Effect.never
      )
    })

    test("hang-on-shutdown: a child that will not stop is given up at its deadline, and the tree goes on", function* () {
      const probe = makeProbe()
      const scope = yield* Scope.make()
      yield* startIn(scope, [probe.child("a"), deaf("deaf", "2 seconds", probe.log), probe.child("c")])
      probe.news()
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* settle
      assert.strictEqual(probe.news(), "-c")
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(probe.news(), "")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(probe.news(), "-a")
      yield* Fiber.join(closing)
    })

    test("a worker has 5 seconds unless told otherwise", function* () {
      const probe = makeProbe()
      const ref = yield* start([deaf("deaf", undefined, probe.log)])
      const stopping = yield* Effect.forkChild(ref.terminateChild("deaf"))
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(yield* states(ref), "deaf stopping")
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* states(ref), "deaf stopped")
    })

    test("brutal_kill does not wait, infinity waits as long as it takes", function* () {
      const probe = makeProbe()
      const ref = yield* start([deaf("a", "brutal_kill", probe.log), deaf("b", "infinity", probe.log)])
      yield* ref.terminateChild("a")
      assert.strictEqual(yield* states(ref), "a stopped, b running")
      const stopping = yield* Effect.forkChild(ref.terminateChild("b"))
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(yield* states(ref), "a stopped, b stopping")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stopping)
      assert.strictEqual(probe.news(), "-a -b")
    })

    test("what was given up is not heard when it ends after all, nor taken for its replacement", function* () {
      const probe = makeProbe()
      const first = deaf("a", "1 second", probe.log)
      let starts = 0
      const ref = yield* start([
        { ...first, start: Effect.suspend(() => (++starts === 1 ? first.start : Effect.succeed(Effect.never))) }
      ])
      yield* Effect.forkChild(ref.terminateChild("a"))
      yield* TestClock.adjust("1 second")
      yield* ref.restartChild("a")
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(probe.news(), "-a")
      assert.strictEqual(yield* states(ref), "a running")
      assert.strictEqual(starts, 2)
    })

    test("an initialisation that was given up does not finish in its replacement's name", function* () {
      const ref = yield* start([])
      const gates = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      let starts = 0
      const child: ChildSpec = {
        id: "a",
        shutdown: "1 second",
        start: Effect.suspend(() => {
          const gate = gates[starts++ - 1]
          return gate === undefined
            ? Effect.succeed(Effect.never)
            : Effect.as(Effect.uninterruptible(Deferred.await(gate)), Effect.never)
        })
      }
      yield* ref.startChild(child)
      yield* ref.terminateChild("a")
      const first = yield* Effect.forkChild(ref.restartChild("a"), { startImmediately: true })
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(first))
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interrupting)
      const second = yield* Effect.forkChild(ref.restartChild("a"), { startImmediately: true })
      if (gates[0] !== undefined) yield* Deferred.succeed(gates[0], undefined)
      yield* settle
      assert.strictEqual(yield* states(ref), "a starting")
      if (gates[1] !== undefined) yield* Deferred.succeed(gates[1], undefined)
      yield* Fiber.join(second)
      assert.strictEqual(yield* states(ref), "a running")
    })
  })

  describe("auto shutdown", () => {
    const significant = { restart: "transient", significant: true } as const

    test("never: a significant child is not even accepted", function* () {
      const { child } = makeProbe()
      const ref = yield* start([])
      assert.strictEqual((yield* Effect.flip(ref.startChild(child("a", significant))))._tag, "ChildStartFailed")
    })

    test("any_significant: the first that ends normally takes the supervisor with it", function* () {
      const probe = makeProbe()
      const ref = yield* start([probe.child("a", significant), probe.child("b", significant), probe.child("c")], {
        autoShutdown: "any_significant"
      })
      probe.news()
      yield* probe.crash("a")
      assert.strictEqual(probe.news(), "-a +a")
      yield* probe.finish("a")
      assert.strictEqual(probe.news(), "-a -c -b")
      assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
    })

    test("all_significant: the last does", function* () {
      const probe = makeProbe()
      const ref = yield* start(
        [probe.child("a", significant), probe.child("b", { ...significant, restart: "temporary" }), probe.child("c")],
        { autoShutdown: "all_significant" }
      )
      probe.news()
      yield* probe.finish("a")
      assert.strictEqual(probe.news(), "-a")
      yield* probe.crash("b")
      assert.strictEqual(probe.news(), "-b -c")
      assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
    })

    test("a child that is terminated does not shut the supervisor down", function* () {
      const probe = makeProbe()
      const ref = yield* start([probe.child("a", significant)], { autoShutdown: "any_significant" })
      yield* ref.terminateChild("a")
      assert.strictEqual(yield* states(ref), "a stopped")
    })
  })

  describe("calls", () => {
    test("startChild adds a child at the end; its id must be free", function* () {
      const { child, news } = makeProbe()
      const ref = yield* start([child("a")])
      yield* ref.startChild(child("b"))
      assert.strictEqual(yield* states(ref), "a running, b running")
      const running = yield* Effect.flip(ref.startChild(child("b")))
      assert.deepInclude(running, { _tag: "ChildExists", id: "b", isRunning: true })
      yield* ref.terminateChild("b")
      const present = yield* Effect.flip(ref.startChild(child("b")))
      assert.deepInclude(present, { _tag: "ChildExists", id: "b", isRunning: false })
      assert.strictEqual(news(), "+a +b -b")
    })

    test("a child that does not start is not kept", function* () {
      const ref = yield* start([])
      const failure = yield* Effect.flip(ref.startChild({ id: "a", start: Effect.die(new Error("broken")) }))
      assert.strictEqual(failure._tag, "ChildStartFailed")
      assert.include(failure.message, "broken")
      assert.strictEqual(yield* states(ref), "")
    })

    test("terminateChild keeps the spec, except of a temporary child", function* () {
      const { child, news } = makeProbe()
      const ref = yield* start([child("a"), child("b", { restart: "temporary" })])
      yield* ref.terminateChild("a")
      yield* ref.terminateChild("a")
      yield* ref.terminateChild("b")
      assert.strictEqual(yield* states(ref), "a stopped")
      assert.deepInclude(yield* Effect.flip(ref.terminateChild("b")), { _tag: "ChildNotFound", id: "b" })
      assert.strictEqual(news(), "+a +b -a -b")
    })

    test("restartChild and deleteChild are for children that do not run", function* () {
      const { child, news } = makeProbe()
      const ref = yield* start([child("a")])
      assert.strictEqual((yield* Effect.flip(ref.restartChild("a")))._tag, "ChildRunning")
      assert.strictEqual((yield* Effect.flip(ref.deleteChild("a")))._tag, "ChildRunning")
      assert.strictEqual((yield* Effect.flip(ref.restartChild("x")))._tag, "ChildNotFound")
      assert.strictEqual((yield* Effect.flip(ref.deleteChild("x")))._tag, "ChildNotFound")
      yield* ref.terminateChild("a")
      yield* ref.restartChild("a")
      yield* ref.terminateChild("a")
      yield* ref.deleteChild("a")
      assert.strictEqual(yield* states(ref), "")
      assert.strictEqual(news(), "+a -a +a -a")
    })

    test("countChildren and getChildSpec", function* () {
      const { child } = makeProbe()
      const specs = [child("a"), child("b")]
      const ref = yield* start(specs)
      yield* ref.startSupervisor({ id: "nested", children: [] })
      yield* ref.terminateChild("a")
      assert.deepStrictEqual(yield* ref.countChildren, { specs: 3, active: 2, supervisors: 1, workers: 2 })
      assert.strictEqual(yield* ref.getChildSpec("b"), specs[1])
      assert.strictEqual((yield* Effect.flip(ref.getChildSpec("x")))._tag, "ChildNotFound")
    })

    test("a caller that is interrupted while its child initialises leaves no child", function* () {
      const { child, news } = makeProbe()
      const ref = yield* start([])
      const dynamic = yield* (yield* Supervisor).startDynamic({ id: "dynamic" })
      for (const place of [ref, dynamic]) {
        const slow: ChildSpec = {
          id: "slow",
          start: Effect.andThen(child("slow").start, Effect.never)
        }
        const starting = yield* Effect.forkChild(place.startChild(slow), { startImmediately: true })
        yield* settle
        assert.strictEqual(yield* states(place), "slow starting")
        yield* Fiber.interrupt(starting)
        assert.strictEqual(yield* states(place), "")
        assert.strictEqual(news(), "+slow -slow")
        yield* place.startChild(child("slow"))
        assert.strictEqual(yield* states(place), "slow running")
        news()
      }
    })

    test("a child outlives the fiber and the scope that asked for it", function* () {
      const { child, news } = makeProbe()
      const ref = yield* start([])
      yield* Fiber.join(yield* Effect.forkChild(Effect.scoped(ref.startChild(child("a")))))
      yield* settle
      assert.strictEqual(news(), "+a")
      assert.strictEqual(yield* states(ref), "a running")
    })

    test("calls that wait when the supervisor stops are answered", function* () {
      const { child } = makeProbe()
      const scope = yield* Scope.make()
      const ref = yield* startIn(scope, [])
      const hanging = yield* Effect.forkChild(Effect.flip(ref.startChild({ id: "slow", start: Effect.never })))
      const behind = yield* Effect.forkChild(Effect.flip(ref.startChild(child("a"))))
      const stopping = yield* Effect.forkChild(Effect.flip(ref.terminateChild("slow")))
      yield* settle
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(hanging))._tag, "SupervisorStopped")
      assert.strictEqual((yield* Fiber.join(behind))._tag, "SupervisorStopped")
      assert.strictEqual((yield* Fiber.join(stopping))._tag, "ChildNotFound")
    })
  })

  describe("dynamic children", () => {
    const startDynamic = (spec: Omit<DynamicSupervisorSpec, "id"> = {}) =>
      Effect.flatMap(Supervisor, (supervisor) => supervisor.startDynamic({ id: "dynamic", ...spec }))

    test("come and go; one that has ended or was terminated is forgotten", function* () {
      const probe = makeProbe()
      const ref = yield* startDynamic()
      yield* ref.startChild(probe.child("a", { restart: "transient" }))
      yield* ref.startChild(probe.child("b"))
      assert.deepInclude(yield* Effect.flip(ref.startChild(probe.child("a"))), { _tag: "ChildExists", isRunning: true })
      yield* probe.finish("a")
      yield* ref.terminateChild("b")
      assert.strictEqual(probe.news(), "+a +b -a -b")
      assert.strictEqual(yield* states(ref), "")
      assert.strictEqual((yield* Effect.flip(ref.terminateChild("b")))._tag, "ChildNotFound")
      assert.strictEqual((yield* Effect.flip(ref.restartChild("b")))._tag, "ChildNotFound")
      yield* ref.startChild(probe.child("b"))
      assert.strictEqual((yield* Effect.flip(ref.deleteChild("b")))._tag, "ChildRunning")
    })

    test("whoever has started a child finds it running, however many others start at the same time", function* () {
      const ref = yield* startDynamic()
      const start = (number: number) =>
        Effect.gen(function* () {
          const id = `child ${number}`
          yield* ref.startChild({ id, restart: "temporary", start: Effect.succeed(Effect.never) })
          yield* ref.crashChild(id)
        })
      yield* Effect.forEach(
        Array.from({ length: 1_000 }, (_, index) => index),
        start,
        { concurrency: "unbounded", discard: true }
      )
      yield* settle
      assert.strictEqual(yield* states(ref), "")
    })

    test("no more than maxChildren, and room again when one has ended", function* () {
      const probe = makeProbe()
      const ref = yield* startDynamic({ maxChildren: 2 })
      yield* ref.startChild(probe.child("a"))
      yield* ref.startChild(probe.child("b", { restart: "temporary" }))
      const refusal = yield* Effect.flip(ref.startChild(probe.child("c")))
      assert.deepInclude(refusal, { _tag: "MaxChildren", limit: 2 })
      yield* probe.crash("b")
      yield* ref.startChild(probe.child("c"))
      assert.strictEqual(yield* states(ref), "a running, c running")
    })

    test("a child that is slow to start or to stop keeps nobody waiting", function* () {
      const probe = makeProbe()
      const ref = yield* startDynamic()
      const gate = yield* Deferred.make<void>()
      const slow: ChildSpec = {
        id: "slow",
        shutdown: "infinity",
        start: Effect.andThen(
          Effect.addFinalizer(() => Deferred.await(gate)),
          Effect.as(Deferred.await(gate), Effect.never)
        )
      }
      const starting = yield* Effect.forkChild(Effect.exit(ref.startChild(slow)), { startImmediately: true })
      yield* ref.startChild(probe.child("a"))
      const stopping = yield* Effect.forkChild(ref.terminateChild("slow"), { startImmediately: true })
      yield* probe.crash("a")
      yield* ref.terminateChild("a")
      assert.strictEqual(probe.news(), "+a -a +a -a")
      assert.strictEqual(yield* states(ref), "slow stopping")
      yield* Deferred.succeed(gate, undefined)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(starting)))
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* states(ref), "")
    })

    test("everybody who asked for a child's end hears of it", function* () {
      const probe = makeProbe()
      const scope = yield* Scope.make()
      const ref = yield* Effect.flatMap(Supervisor, (supervisor) =>
        Scope.provide(supervisor.startDynamic({ id: "dynamic" }), scope)
      )
      const gate = yield* Deferred.make<void>()
      yield* ref.startChild({
        id: "slow",
        start: Effect.as(
          Effect.addFinalizer(() => Deferred.await(gate)),
          Effect.never
        )
      })
      const calls = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(ref.terminateChild("slow")))
      yield* settle
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* settle
      assert.strictEqual(probe.news(), "")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll([...calls, closing])
    })

    test("intensity counts the restarts of all children, as in OTP", function* () {
      const probe = makeProbe()
      const ref = yield* startDynamic({ intensity: 2 })
      for (const id of ["a", "b", "c", "d"]) yield* ref.startChild(probe.child(id))
      probe.news()
      yield* probe.crash("a")
      yield* probe.crash("b")
      assert.strictEqual(probe.news(), "-a +a -b +b")
      yield* probe.crash("c")
      assert.strictEqual(probe.news(), "-c -d -b -a")
      assert.deepStrictEqual(yield* ref.awaitExit, { _tag: "Shutdown" })
    })

    test("poison-session: counted per child, one that crashes for ever ends alone", function* () {
      const probe = makeProbe()
      const ref = yield* startDynamic({ intensityPer: "child", intensity: 3, period: "5 seconds" })
      let starts = 0
      const lastWords: Array<unknown> = []
      yield* ref.startChild(probe.child("a"))
      probe.news()
      yield* ref.startChild({
        id: "poison",
        start: Effect.sync(() => {
          starts++
          return Effect.die("poison")
        }),
        onGiveUp: (reason) => Effect.sync(() => lastWords.push(reason))
      })
      yield* ref.startChild(probe.child("b"))
      yield* settle
      assert.strictEqual(starts, 4)
      assert.deepStrictEqual(lastWords, [{ _tag: "Failed", message: "poison" }])
      assert.strictEqual(probe.news(), "+b")
      assert.strictEqual(yield* states(ref), "a running, b running")
      for (let crash = 0; crash < 3; crash++) yield* probe.crash("a")
      assert.strictEqual(yield* states(ref), "a running, b running")
    })

    test("a last word has the child's shutdown time and no more", function* () {
      const ref = yield* startDynamic({ intensityPer: "child", intensity: 0 })
      yield* ref.startChild({
        id: "a",
        shutdown: "1 second",
        start: Effect.succeed(Effect.die("boom")),
        onGiveUp: () => Effect.never
      })
      yield* settle
      assert.strictEqual(yield* states(ref), "a stopping")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* states(ref), "")
    })

    test("stopping it stops all at once, each with its own time", function* () {
      const probe = makeProbe()
      const scope = yield* Scope.make()
      const ref = yield* Effect.flatMap(Supervisor, (supervisor) =>
        Scope.provide(supervisor.startDynamic({ id: "dynamic" }), scope)
      )
      for (const [id, shutdown] of [
        ["a", "3 seconds"],
        ["b", "1 second"],
        ["c", "2 seconds"]
      ] as const) {
        yield* ref.startChild({
          id,
          shutdown,
          start: Effect.as(
            Effect.addFinalizer(() => Effect.never),
            Effect.never
          )
        })
      }
      yield* ref.startChild(probe.child("d"))
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* settle
      assert.strictEqual(probe.news(), "+d -d")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* states(ref), "a stopping")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
    })

    test("storm: 1,000 crash in one tick and all come back, each restarted once", function* () {
      const ref = yield* startDynamic({ intensityPer: "child" })
      const boom = yield* Deferred.make<void>()
      const starts = new Map<string, number>()
      for (let index = 0; index < 1_000; index++) {
        const id = `s${index}`
        yield* ref.startChild({
          id,
          start: Effect.sync(() => {
            const times = (starts.get(id) ?? 0) + 1
            starts.set(id, times)
            return times === 1 ? Effect.andThen(Deferred.await(boom), Effect.die("storm")) : Effect.never
          })
        })
      }
      yield* Deferred.succeed(boom, undefined)
      yield* settle
      assert.deepStrictEqual(yield* ref.countChildren, { specs: 1_000, active: 1_000, supervisors: 0, workers: 1_000 })
      assert.isTrue([...starts.values()].every((times) => times === 2))
    })

    test("soak-leak: 10,000 children come and go and nothing stays", function* () {
      const ref = yield* startDynamic()
      let alive = 0
      const start = Effect.as(
        Effect.acquireRelease(
          Effect.sync(() => alive++),
          () => Effect.sync(() => alive--)
        ),
        Effect.never
      )
      for (let index = 0; index < 10_000; index++) {
        yield* ref.startChild({ id: `c${index}`, start })
        if (index >= 10) yield* ref.terminateChild(`c${index - 10}`)
      }
      assert.strictEqual(alive, 10)
      assert.deepStrictEqual(yield* ref.countChildren, { specs: 10, active: 10, supervisors: 0, workers: 10 })
    })
  })

  describe("trees", () => {
    test("a nested supervisor stops with its parent, children first", function* () {
      const probe = makeProbe()
      const scope = yield* Scope.make()
      const ref = yield* startIn(scope, [probe.child("a")])
      const nested = yield* ref.startSupervisor({ id: "nested", children: [probe.child("b"), probe.child("c")] })
      yield* ref.startChild(probe.child("d"))
      assert.strictEqual(nested.path, "top/nested")
      probe.news()
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(probe.news(), "-d -c -b -a")
    })

    test("a crash changes nothing outside its subtree", function* () {
      const probe = makeProbe()
      const ref = yield* start([probe.child("a")])
      yield* ref.startSupervisor({ id: "n", strategy: "one_for_all", children: [probe.child("b"), probe.child("c")] })
      yield* ref.startChild(probe.child("d"))
      probe.news()
      yield* probe.crash("b")
      assert.strictEqual(probe.news(), "-b -c +b +c")
    })

    for (const keepAdded of [false, true]) {
      test(`children added at run time ${keepAdded ? "come back" : "are forgotten"} with their supervisor`, function* () {
        const probe = makeProbe()
        const ref = yield* start([])
        const nested = yield* ref.startSupervisor({ id: "n", children: [probe.child("a")], intensity: 0, keepAdded })
        yield* nested.startChild(probe.child("b"))
        yield* nested.startChild(probe.child("t", { restart: "temporary" }))
        const below = yield* nested.startDynamicSupervisor({ id: "below" })
        yield* below.startChild(probe.child("x"))
        probe.news()
        yield* probe.crash("b")
        assert.strictEqual(probe.news(), `-b -x -t -a +a${keepAdded ? " +b" : ""}`)
        assert.strictEqual(yield* states(nested), keepAdded ? "a running, b running, below running" : "a running")
        assert.strictEqual(
          (yield* Effect.exit(below.startChild(probe.child("y"))))._tag,
          keepAdded ? "Success" : "Failure"
        )
      })
    }

    test("the tree shows states, restarts, ages and mailboxes", function* () {
      const probe = makeProbe()
      const ref = yield* start([probe.child("a", { mailbox: Effect.succeed(7) })])
      const nested = yield* ref.startDynamicSupervisor({ id: "n" }, { restart: "transient" })
      for (let index = 0; index < 150; index++) yield* nested.startChild(probe.child(`x${index}`))
      yield* TestClock.adjust("3 seconds")
      yield* probe.crash("x0")
      yield* TestClock.adjust("1 second")
      const tree = yield* ref.tree
      assert.deepInclude(tree, { id: "top", state: "running", strategy: "one_for_one", age: 4_000, total: 2 })
      const [a, n] = tree.children
      assert.deepStrictEqual(a, {
        id: "a",
        type: "worker",
        state: "running",
        restart: "permanent",
        restarts: 0,
        age: 4_000,
        mailbox: 7,
        children: [],
        total: 0
      })
      assert.deepInclude(n, { id: "n", type: "supervisor", restart: "transient", strategy: "dynamic", total: 150 })
      assert.lengthOf(n?.children ?? [], 100)
      assert.deepInclude(n?.children[0], { id: "x0", restarts: 1, age: 1_000 })
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude((yield* ref.tree).children[1]?.children[0], { id: "x0", restarts: 0 })
    })
  })
}
