import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import * as TreeChaos from "../../layers/supervision/TreeChaos.ts"
import { Chaos } from "../../services/supervision/Chaos.ts"
import { dynamicSupervisor, supervisor } from "../../services/supervision/ChildSpec.ts"
import { Coordinators, Sessions } from "../../services/supervision/Places.ts"
import { Supervisor } from "../../services/supervision/Supervisor.ts"
import { makeProbe, settle } from "./probe.ts"

const tree = Effect.gen(function* () {
  const probe = makeProbe()
  const top = yield* (yield* Supervisor).start({
    id: "top",
    strategy: "rest_for_one",
    children: [
      probe.child("database"),
      supervisor({
        id: "web",
        strategy: "one_for_all",
        intensity: 1,
        shutdown: "1 second",
        children: [probe.child("listener"), dynamicSupervisor({ id: "connections", maxChildren: 1 })]
      }),
      probe.child("metrics")
    ]
  })
  const web = yield* top.getSupervisor("web")
  const connections = yield* web.getSupervisor("connections")
  return { ...probe, connections, top, web }
})

const test = <A, E>(name: string, body: Effect.Effect<A, E, Supervisor | Scope.Scope>) =>
  it.effect(name, () => Effect.scoped(body).pipe(Effect.provide(FiberSupervisor.layer)))

describe("a tree that is written as one value", () => {
  it.effect("is started in its order and stopped against it", () =>
    Effect.gen(function* () {
      const { news } = yield* Effect.scoped(
        Effect.gen(function* () {
          const { child, connections, news } = yield* tree
          assert.strictEqual(news(), "+database +listener +metrics")
          assert.strictEqual(connections.path, "top/web/connections")
          yield* connections.startChild(child("c1"))
          assert.strictEqual((yield* Effect.flip(connections.startChild(child("c2"))))._tag, "MaxChildren")
          news()
          return { news }
        })
      )
      assert.strictEqual(news(), "-metrics -c1 -listener -database")
    }).pipe(Effect.provide(FiberSupervisor.layer))
  )

  test(
    "its supervisors are the same over all restarts, however far above",
    Effect.gen(function* () {
      const { child, connections, crash, news, top, web } = yield* tree
      news()
      yield* crash("database")
      assert.strictEqual(news(), "-database -metrics -listener +database +listener +metrics")
      yield* connections.startChild(child("c1"))
      assert.strictEqual((yield* web.countChildren).active, 2)
      assert.strictEqual((yield* top.tree).children[1]?.children[1]?.total, 1)
    })
  )

  test(
    "a supervisor in it that gives up ends with shutdown and is started again, as a child that is permanent",
    Effect.gen(function* () {
      const { crash, news, top } = yield* tree
      news()
      yield* crash("listener")
      assert.strictEqual(news(), "-listener +listener")
      yield* crash("listener")
      assert.strictEqual(news(), "-listener -metrics +listener +metrics")
      assert.deepInclude(yield* top.getChildSpec("web"), { type: "supervisor", shutdown: "1 second" })
    })
  )

  test(
    "crashChild is a crash to its supervisor, and finalizers run",
    Effect.gen(function* () {
      const { news, top, web } = yield* tree
      news()
      yield* top.crashChild("metrics")
      yield* settle
      assert.strictEqual(news(), "-metrics +metrics")
      yield* top.crashChild("web")
      yield* settle
      assert.strictEqual(news(), "-listener -metrics +listener +metrics")
      assert.strictEqual((yield* Effect.flip(web.crashChild("nobody")))._tag, "ChildNotFound")
      assert.strictEqual((yield* Effect.flip(top.getSupervisor("metrics")))._tag, "ChildNotFound")
    })
  )
})

const ChaosLayer = TreeChaos.layer.pipe(Layer.provideMerge(RuntimeTree.layer), Layer.provide(FiberSupervisor.layer))

describe("Chaos", () => {
  it.effect("crashes any child by its path, also where ids hold a slash", () =>
    Effect.gen(function* () {
      const { kill } = yield* Chaos
      const { child, news } = makeProbe()
      yield* (yield* Coordinators).startChild(child("monitor"))
      yield* (yield* Sessions).startChild(child("ses/one"))
      news()
      yield* kill("espalier/coordinators/monitor")
      yield* settle
      assert.strictEqual(news(), "-monitor +monitor")
      yield* kill("espalier/coordinators/sessions/ses/one")
      yield* settle
      assert.strictEqual(news(), "-ses/one +ses/one")
      for (const path of ["", "espalier", "espalier/", "espalier/nobody", "espalier/coordinators/sessions/ses", "x"]) {
        assert.strictEqual((yield* Effect.flip(kill(path)))._tag, "ChildNotFound", path)
      }
    }).pipe(Effect.provide(ChaosLayer))
  )
})
