/**
 * The cases of OTP's own test suite for `supervisor` that no other test of ours tells already. `docs/otp-cases.md` says
 * which case is told where.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, type Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { ChildSpec, DynamicSupervisorSpec, SupervisorSpec } from "../../services/supervision/ChildSpec.ts"
import { Supervisor, type SupervisorRef } from "../../services/supervision/Supervisor.ts"
import { makeProbe, settle } from "../supervision/probe.ts"

export const supervisorCases = (layer: Layer.Layer<Supervisor>) => {
  const test = (name: string, body: () => Generator<Effect.Effect<unknown, unknown, Supervisor | Scope.Scope>, void>) =>
    it.effect(name, () => Effect.andThen(TestClock.adjust("1 minute"), Effect.provide(Effect.gen(body), layer)))

  const start = (children: ReadonlyArray<ChildSpec>, flags: Omit<SupervisorSpec, "id" | "children"> = {}) =>
    Effect.flatMap(Supervisor, (supervisor) => supervisor.start({ id: "top", children, ...flags }))
  const startDynamic = (spec: Omit<DynamicSupervisorSpec, "id"> = {}) =>
    Effect.flatMap(Supervisor, (supervisor) => supervisor.startDynamic({ id: "dynamic", ...spec }))

  const states = (ref: SupervisorRef) =>
    Effect.map(ref.whichChildren, (children) => children.map(({ id, state }) => `${id} ${state}`).join(", "))
  const isDown = (ref: SupervisorRef) =>
    Effect.map(ref.awaitExit, (reason) => assert.deepStrictEqual(reason, { _tag: "Shutdown" }))

  /** Runs until told; every start after that takes two seconds and fails, until it is told that they may succeed. */
  const stuck = (id: string, options: Partial<ChildSpec> = {}) => {
    let fails = false
    let end = Deferred.makeUnsafe<never>()
    const spec: ChildSpec = {
      id,
      shutdown: "brutal_kill",
      start: Effect.suspend(() =>
        fails
          ? Effect.andThen(Effect.sleep("2 seconds"), Effect.fail(new Error("not now")))
          : Effect.sync(() => {
              end = Deferred.makeUnsafe<never>()
              return Deferred.await(end)
            })
      ),
      ...options
    }
    return {
      spec,
      crash: Effect.suspend(() => {
        fails = true
        return Effect.andThen(Deferred.die(end, new Error("crash")), settle)
      }),
      heal: Effect.sync(() => {
        fails = false
      })
    }
  }

  describe("cases of OTP's suite: starting", () => {
    test("a child that has started gets to its body, and so to its end, however soon it is stopped", function* () {
      const ended: Array<string> = []
      const prompt = (id: string): ChildSpec => ({
        id,
        start: Effect.as(
          Effect.yieldNow,
          Effect.onExit(Effect.never, () => Effect.sync(() => ended.push(id)))
        )
      })
      const fixed = yield* start([])
      yield* fixed.startChild(prompt("stopped"))
      yield* fixed.terminateChild("stopped")
      const dynamic = yield* startDynamic()
      yield* dynamic.startChild(prompt("stopped too"))
      yield* dynamic.terminateChild("stopped too")
      yield* dynamic.startChild({ ...prompt("crashed"), restart: "temporary" })
      yield* dynamic.crashChild("crashed")
      yield* settle
      assert.deepStrictEqual(ended, ["stopped", "stopped too", "crashed"])
    })

    test("a child with nothing to do ends at once: a transient one keeps its spec, a temporary one leaves no trace", function* () {
      const idle = (id: string, restart: "transient" | "temporary"): ChildSpec => ({
        id,
        restart,
        start: Effect.succeed(Effect.void)
      })
      const ref = yield* start([idle("a", "transient"), idle("b", "temporary")])
      yield* ref.startChild(idle("c", "transient"))
      yield* ref.startChild(idle("d", "temporary"))
      yield* settle
      assert.strictEqual(yield* states(ref), "a stopped, c stopped")
      const dynamic = yield* startDynamic()
      yield* dynamic.startChild(idle("e", "transient"))
      yield* settle
      assert.strictEqual(yield* states(dynamic), "")
    })

    test("a restartChild that does not start leaves the child stopped, and its spec", function* () {
      const probe = makeProbe()
      let refuses = false
      const child: ChildSpec = {
        id: "a",
        start: Effect.suspend(() => (refuses ? Effect.fail(new Error("not now")) : probe.child("a").start))
      }
      const ref = yield* start([child])
      yield* ref.terminateChild("a")
      refuses = true
      assert.strictEqual((yield* Effect.flip(ref.restartChild("a")))._tag, "ChildStartFailed")
      assert.strictEqual(yield* states(ref), "a stopped")
      refuses = false
      yield* ref.restartChild("a")
      assert.strictEqual(yield* states(ref), "a running")
    })

    test("a dynamic child that does not start is refused with the reason and not kept", function* () {
      const ref = yield* startDynamic()
      const refusal = yield* Effect.flip(ref.startChild({ id: "a", start: Effect.fail(new Error("no such file")) }))
      assert.strictEqual(refusal._tag, "ChildStartFailed")
      assert.include(refusal.message, "no such file")
      assert.strictEqual(yield* states(ref), "")
    })

    test("a dynamic child's spec can be read while it is there", function* () {
      const { child } = makeProbe()
      const ref = yield* startDynamic()
      const spec = child("a", { restart: "temporary" })
      yield* ref.startChild(spec)
      assert.strictEqual(yield* ref.getChildSpec("a"), spec)
      assert.strictEqual((yield* Effect.flip(ref.getChildSpec("b")))._tag, "ChildNotFound")
      yield* ref.terminateChild("a")
      assert.strictEqual((yield* Effect.flip(ref.getChildSpec("a")))._tag, "ChildNotFound")
    })
  })

  describe("cases of OTP's suite: stopping", () => {
    test("brutal_kill under a dynamic supervisor waits for nobody", function* () {
      const scope = yield* Scope.make()
      const ref = yield* Scope.provide(startDynamic(), scope)
      for (let index = 0; index < 10; index++) {
        yield* ref.startChild({
          id: `c${index}`,
          shutdown: "brutal_kill",
          start: Effect.as(
            Effect.addFinalizer(() => Effect.never),
            Effect.never
          )
        })
      }
      yield* Scope.close(scope, Exit.void)
      yield* isDown(ref)
      assert.strictEqual(yield* states(ref), "")
    })

    for (const end of ["finish", "crash"] as const) {
      test(`children that end by themselves (${end}) while the supervisor stops are not started again`, function* () {
        const probe = makeProbe()
        const scope = yield* Scope.make()
        const gate = yield* Deferred.make<void>()
        const last: ChildSpec = {
          id: "last",
          start: Effect.as(
            Effect.addFinalizer(() => Deferred.await(gate)),
            Effect.never
          )
        }
        const kinds = ["permanent", "transient", "temporary"] as const
        const ref = yield* Scope.provide(
          start([probe.child("first"), ...kinds.map((restart) => probe.child(restart, { restart })), last]),
          scope
        )
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        probe.news()
        for (const id of kinds) yield* probe[end](id)
        assert.strictEqual(probe.news(), "-permanent -transient -temporary")
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(closing)
        assert.strictEqual(probe.news(), "-first")
        yield* isDown(ref)
      })
    }

    test("dynamic children that break on their way out are gone all the same", function* () {
      const probe = makeProbe()
      const scope = yield* Scope.make()
      const ref = yield* Scope.provide(startDynamic(), scope)
      for (const restart of ["permanent", "transient", "temporary"] as const) {
        yield* ref.startChild({
          id: restart,
          restart,
          start: Effect.as(
            Effect.addFinalizer(() => Effect.die(new Error("bad finalizer"))),
            Effect.never
          )
        })
      }
      yield* ref.startChild(probe.child("a"))
      yield* Scope.close(scope, Exit.void)
      yield* isDown(ref)
      assert.strictEqual(probe.news(), "+a -a")
    })

    test("what a supervisor was about to start again holds up neither its own stop nor that of the child", function* () {
      const child = stuck("a")
      const scope = yield* Scope.make()
      const ref = yield* Scope.provide(start([child.spec], { intensity: 8, period: "10 seconds" }), scope)
      yield* child.crash
      // The first try has failed, the next is under way: calls wait for it, as in OTP, and go before the one after.
      const calls = [
        yield* Effect.forkChild(Effect.flip(ref.startChild(child.spec)), { startImmediately: true }),
        yield* Effect.forkChild(Effect.flip(ref.restartChild("a")), { startImmediately: true }),
        yield* Effect.forkChild(Effect.flip(ref.deleteChild("a")), { startImmediately: true })
      ]
      const stopping = yield* Effect.forkChild(ref.terminateChild("a"), { startImmediately: true })
      assert.strictEqual(yield* states(ref), "a restarting")
      assert.deepStrictEqual(yield* ref.countChildren, { specs: 1, active: 1, supervisors: 0, workers: 1 })
      yield* TestClock.adjust("2 seconds")
      const answers = yield* Fiber.joinAll(calls)
      assert.deepStrictEqual(
        answers.map(({ _tag }) => _tag),
        ["ChildExists", "ChildRunning", "ChildRunning"]
      )
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* states(ref), "a stopped")
      yield* child.heal
      yield* ref.restartChild("a")
      yield* child.crash
      yield* Scope.close(scope, Exit.void)
      yield* isDown(ref)
    })

    test("rest_for_one: a child that hangs in its restart can be terminated, and those behind it with it", function* () {
      const probe = makeProbe()
      const child = stuck("b")
      const ref = yield* start([probe.child("a"), child.spec, probe.child("c")], {
        strategy: "rest_for_one",
        intensity: 8,
        period: "10 seconds"
      })
      probe.news()
      yield* child.crash
      assert.strictEqual(probe.news(), "-c")
      assert.strictEqual(yield* states(ref), "a running, b restarting, c stopped")
      const stopping = yield* Effect.forkChild(ref.terminateChild("b"), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* states(ref), "a running, b stopped, c stopped")
      yield* child.heal
      yield* ref.restartChild("b")
      yield* ref.restartChild("c")
      assert.strictEqual(yield* states(ref), "a running, b running, c running")
    })

    test("a dynamic child that hangs in its restart is counted, not active, and can be terminated", function* () {
      const child = stuck("a")
      const probe = makeProbe()
      const scope = yield* Scope.make()
      const ref = yield* Scope.provide(startDynamic({ intensity: 8, period: "10 seconds" }), scope)
      yield* ref.startChild(child.spec)
      yield* ref.startChild(probe.child("b"))
      yield* child.crash
      assert.strictEqual(yield* states(ref), "a restarting, b running")
      yield* ref.terminateChild("a")
      assert.strictEqual(yield* states(ref), "b running")
      assert.deepStrictEqual(yield* ref.countChildren, { specs: 1, active: 1, supervisors: 0, workers: 1 })
      yield* child.heal
      yield* ref.startChild(child.spec)
      yield* child.crash
      yield* Scope.close(scope, Exit.void)
      yield* isDown(ref)
      assert.strictEqual(probe.news(), "+b -b")
    })
  })

  describe("cases of OTP's suite: restarting", () => {
    test("one_for_all: when another child fails to start again, those started before it are stopped first", function* () {
      const probe = makeProbe()
      let refusals = 1
      const second: ChildSpec = {
        id: "b",
        start: Effect.suspend(() =>
          probe.log.includes("-a") && refusals-- > 0 ? Effect.fail("not yet") : probe.child("b").start
        )
      }
      const ref = yield* start([probe.child("a"), second], { strategy: "one_for_all" })
      probe.news()
      yield* probe.crash("a")
      assert.strictEqual(probe.news(), "-a -b +a -a +a +b")
      assert.strictEqual(yield* states(ref), "a running, b running")
    })

    test("a call whose caller was interrupted before its turn came does nothing", function* () {
      const probe = makeProbe()
      const gate = Deferred.makeUnsafe<void>()
      const ref = yield* start([probe.child("a")])
      const busy = yield* Effect.forkChild(
        ref.startChild({ id: "gate", start: Effect.as(Deferred.await(gate), Effect.never) }),
        { startImmediately: true }
      )
      const waiting = yield* Effect.forEach([ref.startChild(probe.child("b")), ref.terminateChild("a")], (call) =>
        Effect.forkChild(call, { startImmediately: true })
      )
      yield* Fiber.interruptAll(waiting)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(busy)
      yield* settle
      assert.strictEqual(probe.news(), "+a")
      assert.strictEqual(yield* states(ref), "a running, gate running")
    })

    test("one_for_all: the child that crashed counts as stopped when one before it does not start", function* () {
      const probe = makeProbe()
      const refusal = Deferred.makeUnsafe<never, string>()
      let starts = 0
      const first: ChildSpec = {
        id: "a",
        start: Effect.suspend((): ChildSpec["start"] =>
          ++starts === 2 ? Deferred.await(refusal) : probe.child("a").start
        )
      }
      const ref = yield* start([first, probe.child("b")], { strategy: "one_for_all" })
      yield* probe.crash("b")
      const asked = yield* Effect.forkChild(ref.deleteChild("b"), { startImmediately: true })
      yield* Deferred.fail(refusal, "not yet")
      yield* Fiber.join(asked)
      yield* settle
      assert.strictEqual(yield* states(ref), "a running")
    })

    for (const strategy of ["one_for_all", "rest_for_one"] as const) {
      test(`${strategy}: a child that will not start again takes everybody down`, function* () {
        const probe = makeProbe()
        let starts = 0
        const broken: ChildSpec = {
          id: "b",
          start: Effect.suspend(() => (++starts === 1 ? probe.child("b").start : Effect.fail("cannot")))
        }
        const ref = yield* start([probe.child("a"), broken], { strategy, intensity: 4 })
        probe.news()
        yield* probe.crash("a")
        yield* settle
        assert.strictEqual(starts, 5)
        assert.strictEqual(probe.log.filter((event) => event === "+a").length, strategy === "one_for_all" ? 4 : 1)
        assert.strictEqual(probe.log.at(-1), "-a")
        yield* isDown(ref)
      })
    }

    test("a dynamic child that will not start again takes its supervisor down, and its siblings", function* () {
      const probe = makeProbe()
      let starts = 0
      const ref = yield* startDynamic({ intensity: 4 })
      yield* ref.startChild(probe.child("b"))
      yield* ref.startChild({
        id: "a",
        start: Effect.suspend(() => (++starts === 1 ? probe.child("a").start : Effect.fail("cannot")))
      })
      probe.news()
      yield* probe.crash("a")
      yield* settle
      assert.strictEqual(starts, 5)
      assert.strictEqual(probe.news(), "-a -b")
      yield* isDown(ref)
    })

    test("children keep their order over restarts, and new ones come last", function* () {
      const probe = makeProbe()
      const ref = yield* start(
        ["a", "b", "c", "d"].map((id) => probe.child(id)),
        { strategy: "rest_for_one", intensity: 10 }
      )
      yield* ref.startChild(probe.child("e"))
      yield* probe.crash("b")
      yield* probe.crash("d")
      yield* ref.terminateChild("c")
      yield* ref.restartChild("c")
      yield* probe.crash("a")
      assert.strictEqual(yield* states(ref), "a running, b running, c running, d running, e running")
    })
  })

  describe("cases of OTP's suite: significant children", () => {
    const autos = ["any_significant", "all_significant"] as const
    const kinds = ["transient", "temporary"] as const

    for (const autoShutdown of autos) {
      for (const restart of kinds) {
        test(`${autoShutdown}: a ${restart} child that is not significant takes nobody with it`, function* () {
          for (const end of ["finish", "crash"] as const) {
            const probe = makeProbe()
            const ref = yield* start(
              [probe.child("a", { restart }), probe.child("b", { restart, significant: true }), probe.child("c")],
              { autoShutdown }
            )
            probe.news()
            yield* probe[end]("a")
            assert.strictEqual(probe.news(), restart === "transient" && end === "crash" ? "-a +a" : "-a")
            assert.include(yield* states(ref), "b running, c running")
          }
        })

        test(`${autoShutdown}: the end of a significant ${restart} child`, function* () {
          for (const [end, isAgain] of [
            ["finish", false],
            ["crash", restart === "transient"]
          ] as const) {
            const probe = makeProbe()
            const significant = { restart, significant: true }
            const ref = yield* start([probe.child("a", significant), probe.child("b", significant), probe.child("c")], {
              autoShutdown
            })
            probe.news()
            yield* probe[end]("a")
            if (isAgain) {
              assert.strictEqual(probe.news(), "-a +a")
              continue
            }
            if (autoShutdown === "all_significant") {
              assert.strictEqual(probe.news(), "-a")
              yield* probe.finish("b")
              assert.strictEqual(probe.news(), "-b -c")
            } else {
              assert.strictEqual(probe.news(), "-a -c -b")
            }
            yield* isDown(ref)
          }
        })

        test(`${autoShutdown}: a significant ${restart} child that is stopped for a sibling's sake takes nobody with it`, function* () {
          const probe = makeProbe()
          const ref = yield* start([probe.child("a"), probe.child("b", { restart, significant: true })], {
            autoShutdown,
            strategy: "one_for_all"
          })
          probe.news()
          yield* probe.crash("a")
          assert.strictEqual(probe.news(), restart === "transient" ? "-a -b +a +b" : "-a -b +a")
          assert.include(yield* states(ref), "a running")
        })
      }
    }

    test("a significant supervisor that ends with its own significant child takes its parent with it", function* () {
      const probe = makeProbe()
      const ref = yield* start([probe.child("a")], { autoShutdown: "any_significant" })
      yield* ref.startSupervisor(
        {
          id: "nested",
          autoShutdown: "any_significant",
          children: [probe.child("b"), probe.child("c", { restart: "temporary", significant: true })]
        },
        { restart: "transient", significant: true }
      )
      probe.news()
      yield* probe.finish("c")
      yield* settle
      assert.strictEqual(probe.news(), "-c -b -a")
      yield* isDown(ref)
    })

    test("of two significant children that end together, one that is started again keeps the supervisor", function* () {
      const boom = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      let starts = 0
      const significant = { restart: "transient", significant: true } as const
      const ref = yield* start(
        [
          { id: "a", start: Effect.succeed(Deferred.await(boom)), ...significant },
          {
            id: "b",
            start: Effect.sync(() =>
              ++starts === 1 ? Effect.andThen(Deferred.await(boom), Effect.die("crash")) : Effect.never
            ),
            ...significant
          }
        ],
        { autoShutdown: "all_significant" }
      )
      const busy = yield* Effect.forkChild(
        Effect.exit(
          ref.startChild({ id: "gate", restart: "temporary", start: Effect.as(Deferred.await(gate), Effect.void) })
        ),
        { startImmediately: true }
      )
      yield* Deferred.succeed(boom, undefined)
      yield* settle
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(busy)
      yield* settle
      assert.strictEqual(yield* states(ref), "a stopped, b running")
    })
  })

  describe("cases of OTP's suite: many", () => {
    test("a dynamic supervisor of supervisors counts them as such", function* () {
      const ref = yield* startDynamic()
      for (let index = 0; index < 100; index++) {
        yield* ref.startSupervisor({ id: `s${index}`, children: [] }, { restart: "temporary" })
      }
      assert.deepStrictEqual(yield* ref.countChildren, { specs: 100, active: 100, supervisors: 100, workers: 0 })
      for (let index = 0; index < 100; index++) yield* ref.terminateChild(`s${index}`)
      assert.deepStrictEqual(yield* ref.countChildren, { specs: 0, active: 0, supervisors: 0, workers: 0 })
    })

    test("2,000 children of a static supervisor start, are terminated, deleted and stopped, each at the same cost", function* () {
      const scope = yield* Scope.make()
      const ref = yield* Scope.provide(start([]), scope)
      let alive = 0
      const child = (id: string): ChildSpec => ({
        id,
        start: Effect.as(
          Effect.acquireRelease(
            Effect.sync(() => alive++),
            () => Effect.sync(() => alive--)
          ),
          Effect.never
        )
      })
      for (let index = 0; index < 2_000; index++) yield* ref.startChild(child(`c${index}`))
      for (let index = 0; index < 1_000; index++) {
        yield* ref.terminateChild(`c${index}`)
        yield* ref.deleteChild(`c${index}`)
      }
      assert.deepStrictEqual(yield* ref.countChildren, { specs: 1_000, active: 1_000, supervisors: 0, workers: 1_000 })
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(alive, 0)
    })

    test("others run between 1,000 tries of a start that fails", function* () {
      let starts = 0
      let turns = 0
      let turnsWhenFailing = 0
      const boom = yield* Deferred.make<void>()
      const stubborn = Effect.suspend((): ChildSpec["start"] => {
        starts++
        if (starts === 1) return Effect.succeed(Effect.andThen(Deferred.await(boom), Effect.die("boom")))
        if (starts === 2) turnsWhenFailing = turns
        if (starts <= 1_000) return Effect.fail("cannot")
        turnsWhenFailing = turns - turnsWhenFailing
        return Effect.succeed(Effect.never)
      })
      const ref = yield* start([{ id: "a", start: stubborn }], { intensity: 2_000 })
      const others = yield* Effect.forkChild(
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => turns++),
            Effect.yieldNow
          )
        ),
        { startImmediately: true }
      )
      yield* Deferred.succeed(boom, undefined)
      for (let turn = 0; turn < 10; turn++) yield* settle
      yield* Fiber.interrupt(others)
      assert.strictEqual(starts, 1_001)
      assert.isAtLeast(turnsWhenFailing, 3)
      assert.strictEqual(yield* states(ref), "a running")
    })
  })
}
