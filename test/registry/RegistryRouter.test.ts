import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as MemoryRegistry from "../../layers/registry/MemoryRegistry.ts"
import * as RegistryRouter from "../../layers/registry/RegistryRouter.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { type Route, Router, type RoutingStrategy } from "../../services/registry/Router.ts"
import { key, own } from "../contracts/Registry.ts"
import * as FakeFoundation from "../support/FakeFoundation.ts"

const RouterLayer = RegistryRouter.layer.pipe(
  Layer.provideMerge(MemoryRegistry.layer),
  Layer.provide(FakeFoundation.layer)
)

const picks = (route: Route, count: number) =>
  Effect.flatMap(Router, (router) =>
    Effect.forEach(Array.from({ length: count }), () =>
      Effect.map(router.pick(route), ({ key }) => key.session.slice(4))
    )
  )

const test = (name: string, body: Effect.Effect<void, unknown, Registry | Router | Scope.Scope>) =>
  it.effect(name, () => Effect.provide(body, RouterLayer))

const search = { capability: "search" }

const every: ReadonlyArray<RoutingStrategy> = [
  "round_robin",
  "least_loaded",
  "least_connections",
  "random",
  { sticky: "k" }
]

describe("RegistryRouter", () => {
  test(
    "round_robin: each in turn, also while others come and go",
    Effect.gen(function* () {
      for (const name of ["a", "b", "c"]) yield* own({ key: key(name), capabilities: ["search"] })
      yield* own({ key: key("x") })
      assert.deepStrictEqual(yield* picks(search, 4), ["a", "b", "c", "a"])
      const d = yield* own({ key: key("d"), capabilities: ["search"] })
      assert.deepStrictEqual(yield* picks(search, 4), ["b", "c", "d", "a"])
      yield* d.end
      assert.deepStrictEqual(yield* picks(search, 3), ["b", "c", "a"])
    })
  )

  test(
    "round_robin: routes do not disturb each other",
    Effect.gen(function* () {
      for (const name of ["a", "b"]) yield* own({ key: key(name), capabilities: ["search"], tags: ["t"] })
      assert.deepStrictEqual(yield* picks(search, 1), ["a"])
      assert.deepStrictEqual(yield* picks({ tag: "t" }, 1), ["a"])
      assert.deepStrictEqual(yield* picks(search, 1), ["b"])
    })
  )

  test(
    "least_loaded: the one with the least to do, and equals take turns",
    Effect.gen(function* () {
      const a = yield* own({ key: key("a"), capabilities: ["search"], load: 2 })
      yield* own({ key: key("b"), capabilities: ["search"], load: 1 })
      yield* own({ key: key("c"), capabilities: ["search"], load: 1 })
      const route = { ...search, strategy: "least_loaded" } as const
      assert.deepStrictEqual(yield* picks(route, 4), ["b", "c", "b", "c"])
      yield* a.handle.update({ load: 0 })
      assert.deepStrictEqual(yield* picks(route, 2), ["a", "a"])
    })
  )

  test(
    "least_connections: work that is under way counts until it ends, however it ends",
    Effect.gen(function* () {
      const router = yield* Router
      const registry = yield* Registry
      for (const name of ["a", "b", "c"]) yield* own({ key: key(name), capabilities: ["search"] })
      const route = { ...search, strategy: "least_connections" } as const
      const end = yield* Deferred.make<void>()
      const uses = yield* Effect.forEach(Array.from({ length: 7 }), () =>
        Effect.forkChild(
          router.withAgent(route, () => Deferred.await(end)),
          { startImmediately: true }
        )
      )
      const connections = Effect.map(registry.find(search), (agents) => agents.map(({ connections }) => connections))
      assert.deepStrictEqual(yield* connections, [3, 2, 2])
      yield* Fiber.interrupt(uses[0] as Fiber.Fiber<void>)
      assert.deepStrictEqual(yield* connections, [2, 2, 2])
      yield* Effect.exit(router.withAgent(route, () => Effect.die("it broke")))
      yield* Deferred.succeed(end, undefined)
      for (const use of uses) yield* Fiber.await(use)
      assert.deepStrictEqual(yield* connections, [0, 0, 0])
    })
  )

  test(
    "random: each as likely as the others",
    Effect.gen(function* () {
      const names = ["a", "b", "c", "d"]
      for (const name of names) yield* own({ key: key(name), capabilities: ["search"] })
      yield* own({ key: key("e"), capabilities: ["search"], status: "draining" })
      const seen = yield* picks({ ...search, strategy: "random" }, 4_000)
      for (const name of names) assert.closeTo(seen.filter((one) => one === name).length, 1_000, 200)
    })
  )

  test(
    "sticky: a key stays with its agent while that lives, and finds another when it does not",
    Effect.gen(function* () {
      const owners = new Map<string, Effect.Effect<void>>()
      for (const name of ["a", "b", "c", "d"]) {
        owners.set(name, (yield* own({ key: key(name), capabilities: ["search"] })).end)
      }
      const of = (sticky: string) => Effect.map(picks({ ...search, strategy: { sticky } }, 1), ([name = ""]) => name)
      const keys = Array.from({ length: 200 }, (_, at) => `customer ${at}`)
      const before = yield* Effect.forEach(keys, of)
      for (const name of ["a", "b", "c", "d"]) assert.isAbove(before.filter((one) => one === name).length, 25)
      for (let at = 0; at < 20; at++) yield* own({ key: key(`new${at}`), capabilities: ["search"] })
      assert.deepStrictEqual(yield* Effect.forEach(keys, of), before)
      yield* owners.get("a") ?? Effect.void
      const after = yield* Effect.forEach(keys, of)
      for (const [at, name] of after.entries()) {
        if (before[at] === "a") assert.notStrictEqual(name, "a")
        else assert.strictEqual(name, before[at])
      }
    })
  )

  test(
    "whatever the strategy, draining and unhealthy agents are passed over",
    Effect.gen(function* () {
      const a = yield* own({ key: key("a"), capabilities: ["search"] })
      const b = yield* own({ key: key("b"), capabilities: ["search"], load: 50 })
      for (const strategy of every) {
        const route = { ...search, strategy }
        yield* a.handle.update({ status: "idle" })
        yield* picks(route, 3)
        for (const status of ["draining", "unhealthy"] as const) {
          yield* a.handle.update({ status })
          assert.deepStrictEqual(yield* picks(route, 3), ["b", "b", "b"])
        }
        yield* b.handle.update({ status: "unhealthy" })
        const refusal = yield* Effect.flip(picks(route, 1))
        assert.deepStrictEqual(
          [refusal._tag, refusal.asked, refusal.passedOver],
          ["NoAgentAvailable", "capability search", true]
        )
        yield* b.handle.update({ status: "busy" })
      }
    })
  )

  test(
    "when none is left the error says what was asked for",
    Effect.gen(function* () {
      for (const strategy of every) {
        const route: Route = { capability: ["fly", "swim"], tag: "t", metadata: { model: "m" }, strategy }
        const refusal = yield* Effect.flip(picks(route, 1))
        assert.include(refusal.message, "capability fly, capability swim, tag t, model=m")
        assert.isFalse(refusal.passedOver)
      }
    })
  )

  test(
    "an agent that ends while work runs with it takes its count along, and its successor starts at none",
    Effect.gen(function* () {
      const router = yield* Router
      const registry = yield* Registry
      const a = yield* own({ key: key("a"), capabilities: ["search"] })
      yield* router.withAgent(search, () =>
        Effect.gen(function* () {
          yield* a.end
          yield* own({ key: key("a"), capabilities: ["search"] })
        })
      )
      assert.strictEqual((yield* registry.lookup(key("a"))).connections, 0)
      const scope = yield* Scope.make()
      yield* Scope.provide(registry.engage(key("a")), scope)
      assert.strictEqual((yield* registry.lookup(key("a"))).connections, 1)
      yield* Scope.close(scope, Exit.void)
    })
  )
})
