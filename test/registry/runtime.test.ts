/** The registry in a whole runtime: who is alive is there, and whoever is gone is not. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, References, Stream } from "effect"
import { type Agent, mainOf, nameOf } from "../../services/registry/Agent.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Chaos } from "../../services/supervision/Chaos.ts"
import { Sessions } from "../../services/supervision/Places.ts"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import * as Client from "../../src/client.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import * as Server from "../../src/server/Server.ts"
import { apply, key } from "../contracts/Registry.ts"
import { History, linearization, type Model } from "../support/linearizable.ts"

const isLong = process.env["ESPALIER_LONG"] === "1"
const ses = (name: string | number) => SessionId.make(`ses_${name}`)
const label = (at: number) => ({
  tags: `all,group${at % 10}`,
  capabilities: at % 2 === 0 ? "search" : "write",
  number: String(at)
})

/** Crashes that are meant are not worth a line. */
const quietly = Effect.provideService(References.MinimumLogLevel, "None")

/** Milliseconds until it holds; fails after `patience`. */
const timeUntil = Effect.fnUntraced(function* <E, R>(holds: Effect.Effect<boolean, E, R>, patience: number) {
  const began = performance.now()
  while (!(yield* holds)) {
    if (performance.now() - began > patience) return yield* Effect.die(new Error(`not within ${patience} ms`))
    yield* Effect.sleep(1)
  }
  return performance.now() - began
})

describe("the registry of a runtime", () => {
  it.live("an entry is gone within 100 ms of its owner's end: stopped, crashed for good, terminated or killed", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const sessions = yield* Sessions
      const times: Array<number> = []
      const ends: ReadonlyArray<
        readonly [name: string, body: Effect.Effect<void>, end: Effect.Effect<unknown, unknown>]
      > = [
        ["returns", Effect.sleep("20 millis"), Effect.void],
        ["breaks", Effect.andThen(Effect.sleep("20 millis"), Effect.die("it broke")), Effect.void],
        ["killed", Effect.never, sessions.crashChild("killed")],
        ["terminated", Effect.never, sessions.terminateChild("terminated")]
      ]
      for (const [name, body, end] of ends) {
        let endedAt = 0
        yield* sessions.startChild({
          id: name,
          restart: "temporary",
          start: Effect.as(
            registry.register({ key: key(name), tags: ["mortal"] }),
            Effect.onExit(body, () => Effect.sync(() => (endedAt = performance.now())))
          )
        })
        assert.strictEqual((yield* registry.lookup(key(name))).key.session, ses(name))
        yield* end
        yield* timeUntil(Effect.map(Effect.exit(registry.lookup(key(name))), Exit.isFailure), 5_000)
        times.push(performance.now() - endedAt)
      }
      assert.deepStrictEqual(yield* registry.find({ tag: "mortal" }), [])
      // The polling and a loaded machine are in it.
      assert.isBelow(Math.max(...times), 100)
    }).pipe(Effect.provide(Runtime.layerMemory()), quietly)
  )

  it.live("a session shows its labels, its load and its status, as they change", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const sessions = yield* SessionManager
      const { id } = yield* sessions.start({ sessionId: ses("a"), agentType: "coder", metadata: label(3) })
      const shown = Effect.map(registry.lookup(mainOf(id)), ({ capabilities, load, metadata, status, tags }) => ({
        capabilities,
        load,
        metadata,
        status,
        tags
      }))
      assert.deepStrictEqual(yield* shown, {
        tags: ["all", "group3"],
        capabilities: ["write"],
        metadata: { agentType: "coder", number: "3" },
        status: "idle",
        load: 0
      })
      yield* sessions.update(id, { metadata: { capabilities: " search , ,search" } })
      assert.deepStrictEqual(
        (yield* registry.find({ capability: "search" })).map(({ key }) => key),
        [mainOf(id)]
      )
      assert.deepStrictEqual((yield* shown).tags, [])
      yield* Effect.forEach([1, 2, 3], () => sessions.send({ sessionId: id, text: "hello" }), {
        concurrency: "unbounded"
      })
      yield* timeUntil(
        Effect.map(shown, ({ load, status }) => load === 0 && status === "idle"),
        20_000
      )
      yield* sessions.stop(id)
      assert.strictEqual((yield* Effect.flip(registry.lookup(mainOf(id))))._tag, "AgentNotFound")
    }).pipe(Effect.provide(Runtime.layerMemory()), quietly)
  )

  it.live(
    "comes back whole: its own crash at 10,000 sessions within 1 s, and after that of all sessions from their journals",
    () =>
      Effect.gen(function* () {
        const count = 10_000
        const registry = yield* Registry
        const sessions = yield* SessionManager
        const chaos = yield* Chaos
        for (let at = 0; at < count; at++) yield* sessions.start({ sessionId: ses(at), metadata: label(at) })
        const all = Effect.map(registry.find({ tag: "all", limit: count * 2, order: "key" }), (agents) =>
          agents.map(({ capabilities, key, metadata, tags }: Agent) => [nameOf(key), tags, capabilities, metadata])
        )
        const isWhole = Effect.map(
          Effect.all([registry.count, registry.find({ tag: "all", limit: count * 2 })]),
          ([alive, tagged]) => alive === count && tagged.length === count
        )
        const before = yield* all
        assert.lengthOf(before, count)
        assert.lengthOf(yield* registry.find({ capability: ["search"], tag: ["group4"], limit: count }), count / 10)

        yield* chaos.kill("espalier/foundation/registry")
        const rebuilt = yield* timeUntil(isWhole, 30_000)
        assert.deepStrictEqual(yield* all, before)
        assert.isBelow(rebuilt, 1_000)

        // The entries go with the sessions; their journals say what they were.
        const sessionsPlace = yield* Sessions
        const crashed = isLong ? count : 1_000
        const incarnations = new Set((yield* registry.find({ limit: count })).map(({ incarnation }) => incarnation))
        for (let at = 0; at < crashed; at++) yield* sessionsPlace.crashChild(ses(at))
        yield* timeUntil(
          Effect.map(
            registry.find({ limit: count * 2 }),
            (agents) =>
              agents.length === count &&
              agents.filter(({ incarnation }) => !incarnations.has(incarnation)).length === crashed
          ),
          30_000
        )
        assert.deepStrictEqual(yield* all, before)
      }).pipe(Effect.provide(Runtime.layerMemory({ chaos: true })), quietly)
  )
})

type Input = { readonly do: "start" | "stop" | "look" }
type Output = "alive" | "ended" | "absent"

/** A session: not there, then alive, then ended for good. A look-up sees it while it is alive. */
const oneSession: Model<Output, Input, Output> = {
  initial: "absent",
  nameOf: (state) => state,
  step: (state, input, output) => {
    if (input.do === "look") return (output === "alive") === (state === "alive") ? state : undefined
    if (input.do === "start") {
      if (output === "ended") return state === "ended" ? state : undefined
      return state === "ended" ? undefined : "alive"
    }
    if (output === "absent") return state === "absent" ? state : undefined
    return state === "absent" ? undefined : "ended"
  }
}

describe("agents over the wire", () => {
  it.live("eight clients that start, stop and look up the same agents agree on an order of what happened", () =>
    Effect.gen(function* () {
      const url = yield* HttpGateway.url
      const clients = yield* Effect.forEach(Array.from({ length: 8 }), () => Client.make({ url }))
      const rounds = isLong ? 100 : 15
      for (let round = 0; round < rounds; round++) {
        const history = new History<Input, Output>()
        const session = ses(`round${round}`)
        yield* Effect.forEach(
          clients,
          (espalier, client) =>
            Effect.forEach(
              Array.from(
                { length: 6 },
                (_, at) => (["look", "start", "look", "stop", "look", "look"] as const)[(at + client) % 6]
              ),
              Effect.fnUntraced(function* (what = "look") {
                const answer = history.call(client, { do: what })
                const call: Effect.Effect<Output, { readonly _tag: string }> =
                  what === "look"
                    ? Effect.as(espalier.GetAgent({ key: mainOf(session) }), "alive" as const)
                    : what === "start"
                      ? Effect.as(espalier.StartSession({ sessionId: session }), "alive" as const)
                      : Effect.as(espalier.StopSession({ sessionId: session }), "ended" as const)
                const exit = yield* Effect.exit(call)
                if (Exit.isSuccess(exit)) return answer(exit.value)
                const failure = exit.cause.reasons.find(Cause.isFailReason)?.error._tag
                // It may have been stopped while it was being started: no answer, no operation.
                if (failure === "SessionInterrupted") return
                assert.include(["AgentNotFound", "SessionNotFound", "SessionHasEnded"], failure ?? "a defect")
                answer(failure === "SessionHasEnded" ? "ended" : "absent")
              })
            ),
          { concurrency: "unbounded", discard: true }
        )
        assert.isDefined(linearization(history.operations, oneSession), JSON.stringify(history.operations))
      }
    }).pipe(Effect.scoped, Effect.provide(Server.layerMemory({ port: 0 })))
  )

  it.live("WatchAgents shows who comes, changes and goes, and FindAgents the same in pages", () =>
    Effect.gen(function* () {
      const espalier = yield* Client.make({ url: yield* HttpGateway.url })
      for (let at = 0; at < 25; at++) yield* espalier.StartSession({ sessionId: ses(at + 100), metadata: label(at) })
      const shown = new Map<string, Agent>()
      const watching = yield* espalier.WatchAgents({ tag: "all", limit: 1_000 }).pipe(
        Stream.runForEach((change) => Effect.sync(() => apply(shown, change))),
        Effect.forkChild
      )
      yield* timeUntil(
        Effect.sync(() => shown.size === 25),
        5_000
      )
      yield* espalier.StopSession({ sessionId: ses(100) })
      yield* espalier.UpdateSession({ sessionId: ses(101), metadata: { tags: "all,changed" } })
      yield* espalier.StartSession({ sessionId: ses(200), metadata: { tags: "all" } })
      yield* timeUntil(
        Effect.sync(
          () => !shown.has(ses(100)) && shown.has(ses(200)) && shown.get(ses(101))?.tags.includes("changed") === true
        ),
        5_000
      )
      const paged: Array<Agent> = []
      for (let page = 0; page < 4; page++) {
        const after = paged.at(-1)
        const next = yield* espalier.FindAgents({ tag: ["all"], order: "key", limit: 7, ...(after && { after }) })
        paged.push(...next)
      }
      assert.deepStrictEqual(
        paged.map(({ key }) => key.session),
        Array.from(shown.keys()).sort()
      )
      yield* Fiber.interrupt(watching)
      const refusal = yield* Effect.flip(
        espalier.SendAgentMessage({ text: "to whom?", to: mainOf(ses(101)), route: { tag: "all" } })
      )
      assert.strictEqual(refusal._tag, "InvalidInput")
      const sent = yield* espalier.BroadcastAgentMessage({ to: { tag: "all" }, text: "hello", limit: 3 })
      assert.deepStrictEqual(
        sent.map(({ outcome }) => outcome._tag),
        ["Delivered", "Delivered", "Delivered"]
      )
    }).pipe(Effect.scoped, Effect.provide(Server.layerMemory({ port: 0 })))
  )
})
