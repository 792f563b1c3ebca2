/**
 * The registry under eight clients at once: whatever chance makes of the order of their steps, the results are those of
 * one operation after the other, so at any instant at most one owner is alive under a key.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scheduler, Scope } from "effect"
import * as fc from "fast-check"
import * as MemoryRegistry from "../../layers/registry/MemoryRegistry.ts"
import { type AgentHandle, AgentExists, type ConflictPolicy, Registry } from "../../services/registry/Registry.ts"
import { key } from "../contracts/Registry.ts"
import * as FakeFoundation from "../support/FakeFoundation.ts"
import { FuzzedScheduler } from "../support/FuzzedScheduler.ts"
import { History, linearization, type Model } from "../support/linearizable.ts"

const isLong = process.env["ESPALIER_LONG"] === "1"
const CLIENTS = 8

/** Every registration has a token of its own, which its owner shows in its labels. */
type Token = number

type Input =
  | { readonly do: "register"; readonly key: string; readonly token: Token; readonly policy: ConflictPolicy }
  | { readonly do: "update"; readonly key: string; readonly token: Token }
  /** By its owner, or because another takes over. */
  | { readonly do: "unregister"; readonly key: string; readonly token: Token }
  | { readonly do: "lookup"; readonly key: string }

/** Of a look-up and of a refusal: whom it found. Of the others: whether it went through. */
type Output = { readonly found: Token | undefined } | "done" | "lost"

/** What a key holds: one owner, or none (0). */
const oneKey: Model<Token, Input, Output> = {
  initial: 0,
  nameOf: String,
  step: (holder, input, output) => {
    switch (input.do) {
      case "register":
        if (output === "done") return holder === 0 || input.policy === "replace" ? input.token : undefined
        return output !== "lost" && output.found === holder && holder !== 0 ? holder : undefined
      case "update":
        return (output === "done") === (holder === input.token) ? holder : undefined
      case "unregister":
        return holder === input.token ? 0 : holder
      // lookup
      default:
        return typeof output === "object" && (output.found ?? 0) === holder ? holder : undefined
    }
  }
}

const name = fc.constantFrom("a", "b")
const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("register" as const),
      key: name,
      policy: fc.constantFrom<ConflictPolicy>("refuse", "replace", "take_over"),
      canStop: fc.boolean()
    })
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("lookup" as const), key: name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("unregister" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("update" as const) }) }
)
const scripts = fc.array(fc.array(action, { minLength: 2, maxLength: 5 }), { minLength: CLIENTS, maxLength: CLIENTS })

type Script = ReadonlyArray<typeof action extends fc.Arbitrary<infer A> ? A : never>

interface Owned {
  readonly key: string
  readonly token: Token
  readonly handle: AgentHandle
  readonly end: Effect.Effect<void>
}

const tokenOf = ({ metadata }: { readonly metadata: Readonly<Record<string, string>> }): Token =>
  Number(metadata["token"])

/** All that the clients did, once they are through with it. */
const play = (clients: ReadonlyArray<Script>) =>
  Effect.gen(function* () {
    const registry = yield* Registry
    const history = new History<Input, Output>()
    let tokens = 0

    const lookup = Effect.fnUntraced(function* (client: number, where: string) {
      const answer = history.call(client, { do: "lookup", key: where })
      const found = yield* Effect.exit(registry.lookup(key(where)))
      answer({ found: Exit.isSuccess(found) ? tokenOf(found.value) : undefined })
    })

    const register = Effect.fnUntraced(function* (
      client: number,
      { canStop, key: where, policy }: Extract<Script[number], { readonly do: "register" }>
    ) {
      const token = ++tokens
      const scope = yield* Scope.make()
      let isEnding = false
      const end = Effect.suspend(() => {
        // A scope that is being closed is closed by whoever began.
        if (isEnding) return Effect.void
        isEnding = true
        const answer = history.call(client, { do: "unregister", key: where, token })
        return Effect.andThen(
          Scope.close(scope, Exit.void),
          Effect.sync(() => answer("done"))
        )
      })
      const answer = history.call(client, { do: "register", key: where, token, policy })
      const result = yield* Scope.provide(
        registry.register({
          key: key(where),
          metadata: { token: String(token) },
          onConflict: policy,
          ...(canStop ? { stop: end } : {})
        }),
        scope
      ).pipe(Effect.result)
      if (result._tag === "Failure") {
        answer({ found: tokenOf(result.failure.holder) })
        return undefined
      }
      answer("done")
      const owned: Owned = { key: where, token, handle: result.success, end }
      return owned
    })

    const client = Effect.fnUntraced(function* (script: Script, number: number) {
      const owned: Array<Owned> = []
      for (const next of script) {
        if (next.do === "lookup") yield* lookup(number, next.key)
        else if (next.do === "register") {
          const registered = yield* register(number, next)
          if (registered !== undefined) owned.push(registered)
        } else if (next.do === "unregister") yield* owned.shift()?.end ?? Effect.void
        else {
          const mine = owned[0]
          if (mine === undefined) continue
          const answer = history.call(number, { do: "update", key: mine.key, token: mine.token })
          const updated = yield* Effect.exit(mine.handle.update({ status: "busy" }))
          answer(Exit.isSuccess(updated) ? "done" : "lost")
        }
      }
    })

    yield* Effect.forEach(clients, client, { concurrency: "unbounded", discard: true })
    return history.operations
  })

const holds = (history: ReadonlyArray<History<Input, Output>["operations"][number]>): boolean =>
  ["a", "b"].every(
    (where) =>
      linearization(
        history.filter(({ input }) => input.key === where),
        oneKey
      ) !== undefined
  )

/** Plays with chance in place of the scheduler. */
const fuzzed = (layer: Layer.Layer<Registry>) =>
  fc.asyncProperty(fc.scheduler(), scripts, async (chance, clients) => {
    const playing = play(clients).pipe(
      Effect.provide(layer),
      Effect.provideService(Scheduler.Scheduler, new FuzzedScheduler(chance)),
      Effect.runPromise
    )
    const history = await chance.waitFor(playing)
    assert.isTrue(holds(history), JSON.stringify(history, null, 1))
  })

const RegistryLayer = Layer.provide(MemoryRegistry.layer, FakeFoundation.layer)

/** One that looks first whether a key is free, and takes it later. */
const HastyRegistry = Layer.effect(
  Registry,
  Effect.gen(function* () {
    const registry = Context.get(yield* Layer.build(RegistryLayer), Registry)
    return Registry.of({
      ...registry,
      register: (registration) =>
        registration.onConflict === "replace"
          ? registry.register(registration)
          : registry.lookup(registration.key).pipe(
              Effect.flatMap((holder) => Effect.fail(new AgentExists({ key: registration.key, holder }))),
              Effect.catchTag("AgentNotFound", () =>
                Effect.andThen(Effect.yieldNow, registry.register({ ...registration, onConflict: "replace" }))
              )
            )
    })
  })
)

const lookupOf = (client: number, found: Token | undefined, called: number, returned: number) => ({
  client,
  input: { do: "lookup", key: "a" } as const,
  output: { found },
  called,
  returned
})
const registrationOf = (client: number, token: Token, called: number, returned: number) => ({
  client,
  input: { do: "register", key: "a", token, policy: "refuse" } as const,
  output: "done" as const,
  called,
  returned
})

describe("the registry under concurrent clients", () => {
  it("is linearizable: register by each policy, unregister, update and look up by eight clients", async () => {
    await fc.assert(fuzzed(RegistryLayer), { numRuns: isLong ? 4_000 : 300 })
  })

  it("a scope that closes while its owner is still registering leaves nothing behind from then on", async () => {
    const race = Effect.gen(function* () {
      const registry = yield* Registry
      const scope = yield* Scope.make()
      const find = Effect.exit(registry.lookup(key("a")))
      const owner = yield* Effect.forkChild(Scope.provide(registry.register({ key: key("a") }), scope))
      while (Exit.isFailure(yield* find)) yield* Effect.yieldNow
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isFailure(yield* find))
      yield* Fiber.await(owner)
      assert.isTrue(Exit.isFailure(yield* find))
    })
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 3, max: 12 }), (chance, steps) =>
        chance.waitFor(
          race.pipe(
            Effect.provide(RegistryLayer),
            Effect.provideService(Scheduler.Scheduler, new FuzzedScheduler(chance, steps)),
            Effect.runPromise
          )
        )
      ),
      { numRuns: 200 }
    )
  })

  it("the checker finds one that looks first and registers later", async () => {
    const { errorInstance, failed } = await fc.check(fuzzed(HastyRegistry), { numRuns: 200, endOnFailure: true })
    assert.isTrue(failed)
    // It is the history that is wrong, and nothing else.
    assert.include(String(errorInstance), '"do": "register"')
  })

  it("the checker takes what overlaps in either order, and not what follows", () => {
    assert.isTrue(holds([registrationOf(1, 1, 1, 4), lookupOf(2, 1, 2, 3)]))
    assert.isTrue(holds([registrationOf(1, 1, 1, 4), lookupOf(2, undefined, 2, 3)]))
    assert.isFalse(holds([registrationOf(1, 1, 1, 2), lookupOf(2, undefined, 3, 4)]))
    assert.isFalse(holds([registrationOf(1, 1, 1, 3), registrationOf(2, 2, 2, 4)]))
    assert.isFalse(holds([registrationOf(1, 1, 1, 6), lookupOf(2, 1, 2, 3), lookupOf(2, undefined, 4, 5)]))
  })
})
