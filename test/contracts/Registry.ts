/** What every `Registry` promises. Each test has a registry of its own. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, type Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { Agent, AgentKey } from "../../services/registry/Agent.ts"
import type { AgentChange } from "../../services/registry/AgentChange.ts"
import type { AgentQuery } from "../../services/registry/AgentQuery.ts"
import { type AgentHandle, type Registration, Registry } from "../../services/registry/Registry.ts"
import { SessionId } from "../../services/session/SessionId.ts"

export const key = (name: string, role = "main", index = 0): AgentKey => ({
  session: SessionId.make(`ses_${name}`),
  role,
  index
})

/** Registers in a scope of its own. */
export const own = Effect.fnUntraced(function* (registration: Registration) {
  const registry = yield* Registry
  const scope = yield* Scope.make()
  const handle = yield* Scope.provide(registry.register(registration), scope)
  return { handle, scope, end: Scope.close(scope, Exit.void) }
})

export const enter = (registration: Registration) => Effect.map(own(registration), ({ scope }) => scope)

const found = Effect.fnUntraced(function* (query: AgentQuery) {
  const registry = yield* Registry
  return (yield* registry.find(query)).map(({ key }) => `${key.session.slice(4)}/${key.role}/${key.index}`)
})

/** What a reader of a watch does with each change. */
export const apply = (shown: Map<string, Agent>, change: AgentChange): void => {
  if (change._tag === "Snapshot") {
    shown.clear()
    for (const agent of change.agents) shown.set(agent.key.session, agent)
  } else if (change._tag === "AgentRemoved") {
    if (shown.get(change.key.session)?.incarnation === change.incarnation) shown.delete(change.key.session)
  } else shown.set(change.agent.key.session, change.agent)
}

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
        incarnation: 1,
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
        assert.strictEqual((yield* Effect.flip(registry.receiver(absent)))._tag, "AgentNotFound")
        assert.strictEqual((yield* Effect.flip(Effect.scoped(registry.engage(absent))))._tag, "AgentNotFound")
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
      const { handle } = yield* own({ key: key("a"), tags: ["old"], metadata: { step: "1" } })
      yield* enter({ key: key("b"), tags: ["new"] })
      yield* enter({ key: key("c") })
      yield* handle.update({ status: "busy", tags: ["new"], capabilities: ["read"], load: 3 })
      assert.deepStrictEqual(yield* found({ tag: "new" }), ["a/main/0", "b/main/0"])
      assert.deepStrictEqual(yield* found({ tag: "old" }), [])
      assert.deepStrictEqual(yield* found({ capability: "read" }), ["a/main/0"])
      const agent = yield* registry.lookup(key("a"))
      assert.deepStrictEqual([agent.status, agent.metadata], ["busy", { step: "1" }])
      assert.deepStrictEqual(yield* found({ status: "busy" }), ["a/main/0"])
      assert.deepStrictEqual(yield* found({ status: "idle" }), ["b/main/0", "c/main/0"])
      yield* handle.update({ metadata: { step: "2" } })
      assert.deepStrictEqual((yield* registry.lookup(key("a"))).metadata, { step: "2" })
      assert.deepStrictEqual(handle.agent, yield* registry.lookup(key("a")))
      assert.strictEqual((yield* registry.lookup(key("a"))).status, "busy")
    })
  )

  for (const [how, exit] of [
    ["returns", Exit.void],
    ["is interrupted", Exit.interrupt(1)],
    ["breaks", Exit.die("it crashed")]
  ] as const) {
    test(
      `an owner that ${how} leaves no entry behind`,
      Effect.gen(function* () {
        const registry = yield* Registry
        const started = yield* Deferred.make<void>()
        const end = yield* Deferred.make<void>()
        const fiber = yield* Effect.scoped(
          Effect.gen(function* () {
            yield* registry.register({ key: key("a"), tags: ["t"] })
            yield* Deferred.succeed(started, undefined)
            yield* Deferred.await(end)
            yield* exit
          })
        ).pipe(Effect.forkChild)
        yield* Deferred.await(started)
        assert.strictEqual(yield* registry.count, 1)
        if (how === "is interrupted") yield* Fiber.interrupt(fiber)
        yield* Deferred.succeed(end, undefined)
        yield* Fiber.await(fiber)
        assert.strictEqual(yield* registry.count, 0)
        assert.deepStrictEqual(yield* found({ tag: "t" }), [])
      })
    )
  }

  test(
    "refuse: the holder stays, and the error names it",
    Effect.gen(function* () {
      const first = yield* own({ key: key("a"), tags: ["first"] })
      const refusal = yield* Effect.flip(own({ key: key("a"), tags: ["second"], onConflict: "refuse" }))
      assert.deepStrictEqual([refusal._tag, refusal.holder], ["AgentExists", first.handle.agent])
      yield* first.handle.update({ status: "busy" })
    })
  )

  test(
    "replace: the new one is there at once, and the one before learns of it and changes nothing any more",
    Effect.gen(function* () {
      const registry = yield* Registry
      const first = yield* own({ key: key("a"), tags: ["first"], stop: Effect.die("it is not stopped") })
      const learns = yield* Effect.forkChild(first.handle.lost, { startImmediately: true })
      const second = yield* own({ key: key("a"), tags: ["second"], onConflict: "replace" })
      assert.strictEqual((yield* Fiber.join(learns)).reason, "replaced")
      const loss = yield* Effect.flip(first.handle.update({ tags: ["mine"] }))
      assert.deepStrictEqual([loss._tag, loss.reason], ["RegistrationLost", "replaced"])
      yield* first.handle.leave
      yield* first.end
      assert.deepStrictEqual((yield* registry.lookup(key("a"))).tags, ["second"])
      assert.deepStrictEqual(yield* found({ tag: "first" }), [])
      yield* second.end
      assert.strictEqual(yield* registry.count, 0)
    })
  )

  test(
    "take_over: the holder is stopped first, and only then is the new one there",
    Effect.gen(function* () {
      const registry = yield* Registry
      const scope = yield* Scope.make()
      const stop = Effect.andThen(Effect.sleep("1 second"), Scope.close(scope, Exit.void))
      const handle = yield* Scope.provide(registry.register({ key: key("a"), tags: ["first"], stop }), scope)
      const claim = yield* Effect.forkChild(own({ key: key("a"), tags: ["second"], onConflict: "take_over" }))
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual((yield* registry.lookup(key("a"))).tags, ["first"])
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(claim)
      assert.strictEqual((yield* handle.lost).reason, "taken_over")
      assert.deepStrictEqual((yield* registry.lookup(key("a"))).tags, ["second"])
    })
  )

  test(
    "take_over: a holder that does not stop in time, or cannot be stopped, stays",
    Effect.gen(function* () {
      const registry = yield* Registry
      yield* own({ key: key("a"), tags: ["deaf"], stop: Effect.void })
      const claim = yield* Effect.forkChild(
        Effect.flip(own({ key: key("a"), onConflict: "take_over", patience: "2 seconds" }))
      )
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(claim))._tag, "AgentExists")
      yield* own({ key: key("b") })
      assert.strictEqual((yield* Effect.flip(own({ key: key("b"), onConflict: "take_over" })))._tag, "AgentExists")
      assert.deepStrictEqual((yield* registry.lookup(key("a"))).tags, ["deaf"])
    })
  )

  test(
    "take_over: of many who want the same key at once one has it, and whoever gives up waiting has done no harm",
    Effect.gen(function* () {
      const registry = yield* Registry
      const scope = yield* Scope.make()
      let stops = 0
      const stop = Effect.andThen(
        Effect.sync(() => stops++),
        Effect.andThen(Effect.sleep("1 second"), Scope.close(scope, Exit.void))
      )
      yield* Scope.provide(registry.register({ key: key("a"), stop }), scope)
      const impatient = yield* Effect.forkChild(own({ key: key("a"), onConflict: "take_over" }))
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(impatient)
      const claims = yield* Effect.forEach(Array.from({ length: 5 }), (_, at) =>
        Effect.forkChild(Effect.exit(own({ key: key("a"), tags: [`${at}`], onConflict: "take_over" })))
      )
      yield* TestClock.adjust("2 seconds")
      const exits = yield* Effect.forEach(claims, Fiber.join)
      assert.lengthOf(exits.filter(Exit.isSuccess), 1)
      assert.strictEqual(stops, 2)
      assert.strictEqual(yield* registry.count, 1)
    })
  )

  test(
    "an entry that was given up is gone before its scope closes, and closing it harms nobody",
    Effect.gen(function* () {
      const registry = yield* Registry
      const first = yield* own({ key: key("a") })
      yield* first.handle.leave
      assert.strictEqual((yield* first.handle.lost).reason, "left")
      const second = yield* own({ key: key("a") })
      yield* first.end
      assert.deepStrictEqual(yield* registry.lookup(key("a")), second.handle.agent)
      assert.isAbove(second.handle.agent.incarnation, first.handle.agent.incarnation)
    })
  )

  test(
    "an entry without a scope stays until it is given up, and is like any other until then",
    Effect.gen(function* () {
      const registry = yield* Registry
      const first = yield* Effect.scoped(registry.enter({ key: key("a"), tags: ["t"], status: "hibernated" }))
      assert.deepStrictEqual(yield* found({ tag: "t", status: "hibernated" }), ["a/main/0"])
      assert.strictEqual((yield* Effect.flip(registry.enter({ key: key("a") })))._tag, "AgentExists")
      yield* first.update({ status: "idle" })
      assert.deepStrictEqual(first.agent, yield* registry.lookup(key("a")))
      const second = yield* registry.enter({ key: key("a"), onConflict: "replace" })
      assert.strictEqual((yield* first.lost).reason, "replaced")
      yield* second.leave
      assert.strictEqual(yield* registry.count, 0)
    })
  )

  test(
    "labels that are equal are nobody else's: what one changes, the others keep",
    Effect.gen(function* () {
      const registry = yield* Registry
      const tags = ["x", "y"]
      const metadata: Record<string, string> = { model: "m" }
      const one = yield* own({ key: key("a"), tags, capabilities: tags, metadata })
      yield* own({ key: key("b"), tags: ["x", "y"], capabilities: ["x", "y"], metadata: { model: "m" } })
      tags.push("z")
      metadata["model"] = "other"
      yield* one.handle.update({ tags, metadata })
      const labels = ({ capabilities, metadata, tags }: Agent) => ({ capabilities, metadata, tags })
      assert.deepStrictEqual(labels(yield* registry.lookup(key("a"))), {
        capabilities: ["x", "y"],
        metadata: { model: "other" },
        tags: ["x", "y", "z"]
      })
      assert.deepStrictEqual(labels(yield* registry.lookup(key("b"))), {
        capabilities: ["x", "y"],
        metadata: { model: "m" },
        tags: ["x", "y"]
      })
      assert.deepStrictEqual(yield* found({ tag: "z" }), ["a/main/0"])
    })
  )

  test(
    "finds those that have all of several tags and capabilities, a status and labels",
    Effect.gen(function* () {
      yield* own({ key: key("a"), tags: ["x", "y"], capabilities: ["read"], metadata: { model: "m" } })
      yield* own({ key: key("b"), tags: ["x", "y"], capabilities: ["read", "write"], status: "draining" })
      yield* own({ key: key("c"), tags: ["y"], capabilities: ["read", "write"], metadata: { model: "m", cwd: "/" } })
      assert.deepStrictEqual(yield* found({ tag: ["x", "y"] }), ["a/main/0", "b/main/0"])
      assert.deepStrictEqual(yield* found({ tag: ["x", "z"] }), [])
      assert.deepStrictEqual(yield* found({ capability: ["write", "read"], available: true }), ["c/main/0"])
      assert.deepStrictEqual(yield* found({ status: "draining", capability: "read" }), ["b/main/0"])
      assert.deepStrictEqual(yield* found({ metadata: { model: "m" } }), ["a/main/0", "c/main/0"])
      assert.deepStrictEqual(yield* found({ metadata: { model: "m", cwd: "/" } }), ["c/main/0"])
      assert.deepStrictEqual(yield* found({ metadata: { toString: "m" } }), [])
    })
  )

  test(
    "every page goes on behind the one before, in each order, also when its last agent has gone meanwhile",
    Effect.gen(function* () {
      const registry = yield* Registry
      const owners = new Map<string, { readonly handle: AgentHandle; readonly end: Effect.Effect<void> }>()
      for (let at = 0; at < 200; at++) {
        const name = `s${(at * 37) % 200}`
        owners.set(name, yield* own({ key: key(name), tags: ["t"], load: at % 7 }))
      }
      for (const order of ["age", "key", "load", "connections"] as const) {
        const all = yield* registry.find({ tag: "t", order, limit: 1_000 })
        const paged: Array<string> = []
        let after: Agent | undefined
        while (true) {
          const page: ReadonlyArray<Agent> = yield* registry.find({ tag: "t", order, after, limit: 33 })
          paged.push(...page.map(({ key }) => key.session))
          after = page.at(-1)
          if (after === undefined) break
        }
        assert.deepStrictEqual(
          paged,
          all.map(({ key }) => key.session),
          order
        )
      }
      const [first, second] = yield* registry.find({ order: "load", limit: 2 })
      yield* owners.get(first?.key.session.slice(4) ?? "")?.end ?? Effect.void
      const rest = yield* registry.find({ order: "load", after: first, limit: 1 })
      assert.deepStrictEqual(rest[0], second)
    })
  )

  test(
    "orders by load: who takes work first, then what each has to do and is under way to it",
    Effect.gen(function* () {
      const registry = yield* Registry
      const a = yield* own({ key: key("a"), load: 2 })
      yield* own({ key: key("b"), load: 1 })
      yield* own({ key: key("c"), load: 0, status: "unhealthy" })
      const by = (order: "load" | "connections") => found({ order })
      assert.deepStrictEqual(yield* by("load"), ["b/main/0", "a/main/0", "c/main/0"])
      const use = yield* Scope.make()
      yield* Scope.provide(registry.engage(key("b")), use)
      yield* Scope.provide(registry.engage(key("b")), use)
      assert.strictEqual((yield* registry.lookup(key("b"))).connections, 2)
      assert.deepStrictEqual(yield* by("load"), ["a/main/0", "b/main/0", "c/main/0"])
      assert.deepStrictEqual(yield* by("connections"), ["a/main/0", "b/main/0", "c/main/0"])
      yield* Scope.close(use, Exit.void)
      yield* a.handle.update({ load: 9 })
      assert.deepStrictEqual(yield* by("load"), ["b/main/0", "a/main/0", "c/main/0"])
      assert.strictEqual((yield* registry.lookup(key("b"))).connections, 0)
    })
  )

  test(
    "a load that is no number is a mistake of its owner's, and changes nothing",
    Effect.gen(function* () {
      const a = yield* own({ key: key("a"), load: 1 })
      yield* own({ key: key("b"), load: 2 })
      assert.isTrue(Exit.hasDies(yield* Effect.exit(a.handle.update({ load: Number.NaN, status: "busy" }))))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(own({ key: key("c"), load: Number.POSITIVE_INFINITY }))))
      assert.deepStrictEqual(yield* found({ order: "load" }), ["a/main/0", "b/main/0"])
      assert.strictEqual(a.handle.agent.status, "idle")
    })
  )

  test(
    "a sample is any of those that fit, however few they are among all",
    Effect.gen(function* () {
      const registry = yield* Registry
      assert.isUndefined(yield* registry.sample({ tag: "t" }))
      for (let at = 0; at < 1_000; at++) {
        yield* own({ key: key(`s${at}`), tags: ["t"], metadata: { rare: String(at % 500 === 0) } })
      }
      const seen = new Set<string>()
      for (let at = 0; at < 60; at++) {
        seen.add((yield* registry.sample({ tag: "t", metadata: { rare: "true" } }))?.key.session ?? "none")
      }
      assert.deepStrictEqual(Array.from(seen).sort(), ["ses_s0", "ses_s500"])
      assert.isUndefined(yield* registry.sample({ tag: "t", metadata: { rare: "never" } }))
    })
  )

  test(
    "a watch shows the result, then who comes, changes and goes",
    Effect.gen(function* () {
      const registry = yield* Registry
      const told: Array<AgentChange> = []
      const a = yield* own({ key: key("a"), tags: ["t"] })
      yield* own({ key: key("other") })
      yield* registry.watch({ tag: "t" }).pipe(
        Stream.runForEach((change) => Effect.sync(() => told.push(change))),
        Effect.forkScoped({ startImmediately: true })
      )
      const next = Effect.andThen(
        TestClock.adjust("100 millis"),
        Effect.sync(() => told.splice(0))
      )
      assert.deepStrictEqual(yield* next, [{ _tag: "Snapshot", agents: [a.handle.agent] }])
      const b = yield* own({ key: key("b"), tags: ["t"] })
      assert.deepStrictEqual(yield* next, [{ _tag: "AgentAdded", agent: b.handle.agent }])
      yield* b.handle.update({ status: "busy" })
      yield* b.handle.update({ load: 3 })
      assert.deepStrictEqual((yield* next).at(-1), { _tag: "AgentChanged", agent: b.handle.agent })
      yield* own({ key: key("another") })
      assert.deepStrictEqual(yield* next, [])
      yield* a.end
      yield* b.handle.update({ tags: [] })
      assert.sameDeepMembers(yield* next, [
        { _tag: "AgentRemoved", key: key("a"), incarnation: a.handle.agent.incarnation },
        { _tag: "AgentRemoved", key: key("b"), incarnation: b.handle.agent.incarnation }
      ])
    })
  )

  test(
    "a watch of the first few tells who moves up, and a key that is taken anew is another agent",
    Effect.gen(function* () {
      const registry = yield* Registry
      const shown = new Map<string, Agent>()
      const a = yield* own({ key: key("a") })
      const b = yield* own({ key: key("b") })
      yield* own({ key: key("c") })
      yield* registry.watch({ limit: 2 }).pipe(
        Stream.runForEach((change) => Effect.sync(() => apply(shown, change))),
        Effect.forkScoped({ startImmediately: true })
      )
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(Array.from(shown.keys()), ["ses_a", "ses_b"])
      yield* b.end
      const again = yield* own({ key: key("b") })
      yield* TestClock.adjust("100 millis")
      assert.sameMembers(Array.from(shown.keys()), ["ses_a", "ses_c"])
      yield* a.end
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(shown.get("ses_b"), again.handle.agent)
    })
  )

  test(
    "a watcher that does not read costs what it was last shown, and then is told what is, whole",
    Effect.gen(function* () {
      const registry = yield* Registry
      const pull = yield* Stream.toPull(registry.watch({ limit: 1_000 }))
      const [first] = yield* pull
      assert.strictEqual(first?._tag, "Snapshot")
      for (let at = 0; at < 20_000; at++) {
        yield* Effect.scoped(registry.register({ key: key(`s${at}`) }))
      }
      for (let at = 0; at < 50; at++) yield* own({ key: key(`stay${at}`) })
      yield* TestClock.adjust("1 second")
      const shown = new Map<string, Agent>()
      for (const change of yield* pull) apply(shown, change)
      assert.strictEqual(shown.size, 50)
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
