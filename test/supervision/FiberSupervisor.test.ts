import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Fiber, Layer, Logger, References, Tracer } from "effect"
import { TestClock } from "effect/testing"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { supervisorContract } from "../contracts/Supervisor.ts"
import { supervisorCases } from "../contracts/SupervisorCases.ts"
import { makeProbe, settle } from "./probe.ts"

const Setting = Context.Reference<string>("test/Setting", { defaultValue: () => "default" })

/** Everything that is logged, with the causes as text. */
const captureLog = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ cause, message }) => {
    lines.push([...[message].flat().map(String), Cause.pretty(cause)].join(" "))
  })
  return { lines, layer: Logger.layer([logger]) }
}

describe("FiberSupervisor", () => {
  supervisorContract(FiberSupervisor.layer)
  supervisorCases(FiberSupervisor.layer)

  it.effect("a child runs in its supervisor's context, the first time and every time", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const boom = yield* Deferred.make<void>()
      const child: ChildSpec = {
        id: "a",
        start: Effect.gen(function* () {
          const span = yield* Effect.serviceOption(Tracer.ParentSpan)
          seen.push(`${yield* Setting} ${span._tag}`)
          return seen.length === 1 ? Effect.andThen(Deferred.await(boom), Effect.die("boom")) : Effect.never
        })
      }
      const supervisor = yield* FiberSupervisor.make
        .start({ id: "top", children: [] })
        .pipe(Effect.provideService(Setting, "the supervisor's"), Effect.withSpan("startup"))
      yield* supervisor.startChild(child).pipe(Effect.provideService(Setting, "the caller's"), Effect.withSpan("call"))
      yield* Deferred.succeed(boom, undefined)
      yield* settle
      assert.deepStrictEqual(seen, ["the supervisor's None", "the supervisor's None"])
    })
  )

  it.effect("failures never vanish: crashes, failed restarts, broken ends and deaf children are logged", () => {
    const { layer, lines } = captureLog()
    return Effect.gen(function* () {
      yield* TestClock.adjust("1 second")
      const probe = makeProbe()
      const top = yield* FiberSupervisor.make.start({ id: "top", children: [probe.child("a")], intensity: 1 })
      yield* probe.crash("a")
      assert.match(lines.splice(0).join("\n"), /top\/a crashed.*a broke/)
      yield* top.startChild({
        id: "broken",
        start: Effect.as(
          Effect.addFinalizer(() => Effect.die("bad finalizer")),
          Effect.never
        )
      })
      yield* top.terminateChild("broken")
      assert.match(lines.splice(0).join("\n"), /top\/broken failed while it was stopped.*bad finalizer/)
      yield* top.startChild({
        id: "deaf",
        start: Effect.as(
          Effect.addFinalizer(() => Effect.never),
          Effect.never
        )
      })
      const stopping = yield* Effect.forkChild(top.terminateChild("deaf"))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      assert.match(lines.splice(0).join("\n"), /top\/deaf ignored the request to stop/)
      for (let crash = 0; crash < 2; crash++) yield* probe.crash("a")
      assert.match(lines.splice(0).join("\n"), /top gives up: 1 restarts were not enough/)
    }).pipe(Effect.provide(layer), Effect.provideService(References.MinimumLogLevel, "Warn"))
  })

  it.effect("a wanted stop logs nothing", () => {
    const { layer, lines } = captureLog()
    return Effect.gen(function* () {
      const probe = makeProbe()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const top = yield* FiberSupervisor.make.start({ id: "top", children: [probe.child("a"), probe.child("b")] })
          yield* top.terminateChild("a")
          yield* top.startDynamicSupervisor({ id: "d" }).pipe(Effect.flatMap((ref) => ref.startChild(probe.child("c"))))
        })
      )
      assert.deepStrictEqual(lines, [])
    }).pipe(Effect.provide(layer))
  })

  it.effect("any-crash-contained: 2,000 crashes of every kind in one place, and its neighbours never notice", () =>
    Effect.gen(function* () {
      const probe = makeProbe()
      const top = yield* FiberSupervisor.make.start({ id: "top", children: [probe.child("neighbour")] })
      const place = yield* top.startDynamicSupervisor({ id: "place" })
      const kinds: ReadonlyArray<ChildSpec["start"]> = [
        Effect.succeed(Effect.die("defect")),
        Effect.succeed(Effect.fail("failure")),
        Effect.succeed(Effect.interrupt),
        Effect.die("no start"),
        Effect.fail("no start"),
        Effect.suspend((): ChildSpec["start"] => {
          throw new Error("thrown")
        }),
        Effect.as(
          Effect.addFinalizer(() => Effect.die("bad finalizer")),
          Effect.fail("failure")
        ),
        Effect.succeed(Effect.promise(() => Promise.reject(new Error("rejected"))))
      ]
      for (let index = 0; index < 2_000; index++) {
        const start = kinds[index % kinds.length] ?? Effect.never
        yield* Effect.ignore(place.startChild({ id: `c${index}`, restart: "temporary", start }))
      }
      yield* settle
      assert.deepStrictEqual(yield* place.countChildren, { specs: 0, active: 0, supervisors: 0, workers: 0 })
      assert.strictEqual(probe.news(), "+neighbour")
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
  )

  it.effect("a child may start and stop its siblings while it initialises below a dynamic supervisor", () =>
    Effect.gen(function* () {
      const probe = makeProbe()
      const place = yield* FiberSupervisor.make.startDynamic({ id: "place" })
      yield* place.startChild({
        id: "parent",
        start: Effect.gen(function* () {
          yield* place.startChild(probe.child("sibling"))
          yield* place.terminateChild("sibling")
          return place.terminateChild("parent")
        })
      })
      yield* settle
      assert.strictEqual(probe.news(), "+sibling -sibling")
      assert.strictEqual((yield* place.countChildren).specs, 0)
    }).pipe(Effect.provide(Layer.empty))
  )
})
