/** What every `Registry` promises. Each test has a registry of its own. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, type Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { AgentKey } from "../../services/registry/Agent.ts"
import { type AgentQuery, type Registration, Registry } from "../../services/registry/Registry.ts"
import { SessionId } from "../../services/session/SessionId.ts"

export const key = (name: string, role = "main", index = 0): AgentKey => ({
  session: SessionId.make(`ses_${name}`),
  role,
  index
})

/** Registers in a scope of its own and hands it back. */
export const enter = Effect.fnUntraced(function* (registration: Registration) {
  const registry = yield* Registry
  const scope = yield* Scope.make()
  yield* Scope.provide(registry.register(registration), scope)
  return scope
})

const found = Effect.fnUntraced(function* (query: AgentQuery) {
  const registry = yield* Registry
  return (yield* registry.find(query)).map(({ key }) => `${key.session.slice(4)}/${key.role}/${key.index}`)
})

export const registryContract = <R>(layer: Layer.Layer<Registry | R>) => {
  const test = (name: string, body: Effect.Effect<void, unknown, Registry | Scope.Scope>) =>
    it.effect(name, () => Effect.provide(body, layer))

  test(
    "knows an agent as it was registered",
    Effect.gen(function* () {
      const registry = yield* Registry
      yield* TestClock.setTime(42_000)
      yield* registry.register({
        key: key("a", "helper", 3),
        tags: ["green", "green", "slow"],
        capabilities: ["search"],
        metadata: { model: "offline" }
      })
      assert.deepStrictEqual(yield* registry.lookup(key("a", "helper", 3)), {
        key: key("a", "helper", 3),
        tags: ["green", "slow"],
        capabilities: ["search"],
        status: "idle",
        load: 0,
        connections: 0,
        metadata: { model: "offline" },
        registeredAt: 42_000
      })
      assert.strictEqual(yield* registry.count, 1)
    })
  )

  test(
    "tells who is not there",
    Effect.gen(function* () {
      const registry = yield* Registry
      yield* enter({ key: key("a") })
      for (const absent of [key("b"), key("a", "main", 1), key("a", "helper")]) {
        const refusal = yield* Effect.flip(registry.lookup(absent))
        assert.deepStrictEqual([refusal._tag, refusal.key], ["AgentNotFound", absent])
        assert.strictEqual((yield* Effect.flip(registry.update(absent, { status: "busy" })))._tag, "AgentNotFound")
      }
      assert.include((yield* Effect.flip(registry.lookup(key("b")))).message, "ses_b/main/0")
    })
  )

  test(
    "an entry goes with its scope, and its key is free again",
    Effect.gen(function* () {
      const registry = yield* Registry
      const scope = yield* enter({ key: key("a"), tags: ["t"], capabilities: ["c"] })
      assert.strictEqual((yield* Effect.flip(enter({ key: key("a") })))._tag, "AgentExists")
      yield* Scope.close(scope, Exit.die("it crashed"))
      assert.deepStrictEqual(yield* found({}), [])
      assert.deepStrictEqual(yield* found({ tag: "t" }), [])
      assert.strictEqual(yield* registry.count, 0)
      yield* enter({ key: key("a") })
      assert.deepStrictEqual(yield* found({ session: key("a").session }), ["a/main/0"])
    })
  )

  test(
    "a refused registration leaves the one who holds the key alone",
    Effect.gen(function* () {
      const registry = yield* Registry
      yield* enter({ key: key("a"), tags: ["first"] })
      yield* Effect.exit(Effect.scoped(registry.register({ key: key("a"), tags: ["second"] })))
      assert.deepStrictEqual((yield* registry.lookup(key("a"))).tags, ["first"])
    })
  )

  test(
    "finds by session, role, tag and capability, all that are given, in order of registration",
    Effect.gen(function* () {
      yield* enter({ key: key("a", "helper", 0), tags: ["x"], capabilities: ["read"] })
      yield* enter({ key: key("a"), tags: ["x", "y"], capabilities: ["read", "write"] })
      yield* enter({ key: key("b"), tags: ["y"], capabilities: ["read"] })
      yield* enter({ key: key("b", "helper", 1) })
      assert.deepStrictEqual(yield* found({}), ["a/helper/0", "a/main/0", "b/main/0", "b/helper/1"])
      assert.deepStrictEqual(yield* found({ session: key("a").session }), ["a/helper/0", "a/main/0"])
      assert.deepStrictEqual(yield* found({ role: "main" }), ["a/main/0", "b/main/0"])
      assert.deepStrictEqual(yield* found({ tag: "y" }), ["a/main/0", "b/main/0"])
      assert.deepStrictEqual(yield* found({ tag: "y", capability: "write" }), ["a/main/0"])
      assert.deepStrictEqual(yield* found({ role: "helper", tag: "y" }), [])
      assert.deepStrictEqual(yield* found({ session: key("b").session, role: "helper" }), ["b/helper/1"])
      assert.deepStrictEqual(yield* found({ tag: "unheard of" }), [])
      assert.deepStrictEqual(yield* found({ session: key("zzz").session }), [])
      assert.deepStrictEqual(yield* found({ limit: 2 }), ["a/helper/0", "a/main/0"])
      assert.deepStrictEqual(yield* found({ limit: 0 }), [])
    })
  )

  test(
    "shows 100 agents unless more are asked for",
    Effect.gen(function* () {
      for (let index = 0; index < 150; index++) yield* enter({ key: key("a", "helper", index) })
      assert.lengthOf(yield* found({}), 100)
      assert.lengthOf(yield* found({ role: "helper", limit: 1_000 }), 150)
    })
  )

  test(
    "an update is seen by look-ups and by every index, and keeps the order of registration",
    Effect.gen(function* () {
      const registry = yield* Registry
      yield* enter({ key: key("a"), tags: ["old"], metadata: { step: "1" } })
      yield* enter({ key: key("b"), tags: ["new"] })
      yield* enter({ key: key("c") })
      yield* registry.update(key("a"), { status: "busy", tags: ["new"], capabilities: ["read"] })
      assert.deepStrictEqual(yield* found({ tag: "new" }), ["a/main/0", "b/main/0"])
      assert.deepStrictEqual(yield* found({ tag: "old" }), [])
      assert.deepStrictEqual(yield* found({ capability: "read" }), ["a/main/0"])
      const agent = yield* registry.lookup(key("a"))
      assert.deepStrictEqual([agent.status, agent.metadata], ["busy", { step: "1" }])
      yield* registry.update(key("a"), { metadata: { step: "2" } })
      assert.deepStrictEqual((yield* registry.lookup(key("a"))).metadata, { step: "2" })
      assert.strictEqual((yield* registry.lookup(key("a"))).status, "busy")
    })
  )

  test(
    "soak-leak: 10,000 come and go and nothing stays",
    Effect.gen(function* () {
      const registry = yield* Registry
      for (let index = 0; index < 10_000; index++) {
        yield* Effect.scoped(registry.register({ key: key(`s${index}`), tags: [`t${index}`], capabilities: ["c"] }))
      }
      assert.strictEqual(yield* registry.count, 0)
      assert.deepStrictEqual(yield* found({ capability: "c" }), [])
    })
  )
}
