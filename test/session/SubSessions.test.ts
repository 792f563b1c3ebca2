import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import { load } from "../../layers/session/SessionStore.ts"
import { overBudget } from "../../layers/session/treeBudget.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { Registry } from "../../services/registry/Registry.ts"
import * as Budget from "../../services/session/Budget.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Root, Sessions } from "../../services/supervision/Places.ts"
import type { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import { ended } from "../contracts/SessionManager.ts"
import { eventually } from "../support/eventually.ts"
import { calls, layer as scripted, type Part, says, type Script } from "../support/ScriptedModel.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { eventsOf, inProcess, is, layerDurable, SessionWorld, until } from "../support/SessionWorld.ts"

const durable = Effect.provide(layerDurable)

type Say = (said: string, results: ReadonlyArray<unknown>) => ReturnType<Script>

/** A model that goes by what was said first in its session, and by what came back since. */
const actor = (say: Say) =>
  scripted(({ prompt }) => {
    const [first] = prompt.content.filter(({ role }) => role === "user")
    const said = first?.role === "user" && first.content[0]?.type === "text" ? first.content[0].text : ""
    const results = prompt.content.flatMap((message) =>
      message.role === "tool" ? message.content.map((part) => (part.type === "tool-result" ? part.result : part)) : []
    )
    return say(said, results)
  })

const cut = (text: string) => Stream.concat(Stream.fromIterable<Part>(says(text).slice(0, 2)), Stream.never)

/** Sends one message, and gives the session. */
const ask = Effect.fnUntraced(function* (text: string) {
  const manager = yield* SessionManager
  const { id } = yield* manager.start({})
  yield* manager.send({ sessionId: id, text })
  return id
})

const subsOf = (id: SessionId) => Effect.flatMap(SessionManager, (manager) => manager.list({ parent: id, limit: 100 }))

/** Returns when so many permissions were asked for in the session. */
const untilAsked = (id: SessionId, count: number) => {
  let asked = 0
  return until(id, (event): event is Extract<RuntimeEvent, { readonly _tag: "PermissionRequested" }> => {
    if (event._tag === "PermissionRequested") asked++
    return event._tag === "PermissionRequested" && asked === count
  })
}

const settled = (id: SessionId) =>
  Effect.map(eventsOf(id), (events) =>
    events.flatMap(({ event }) => (event._tag === "ToolCallSettled" ? [event.outcome] : []))
  )

const checkAll = Effect.fnUntraced(function* (ids: ReadonlyArray<SessionId>) {
  for (const id of ids) assertLaws((yield* eventsOf(id)).map(({ event }): RuntimeEvent => event))
})

const fanOut: Say = (said, results) => {
  if (said.startsWith("sub ")) return says(`did ${said}`)
  return results.length === 0
    ? calls(...Array.from({ length: 5 }, (_, n) => ["delegate", { task: `sub ${n}` }] as const))
    : says(JSON.stringify(results))
}

describe("sub-sessions", () => {
  it.effect("work side by side, and what each came to reaches the session above once, in the order of the calls", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const id = yield* ask("go")
      yield* ended(id, 1)
      assert.deepStrictEqual(
        (yield* settled(id)).map((outcome) => outcome._tag).sort(),
        Array.from({ length: 5 }, () => "ToolCompleted")
      )
      const answer = (yield* manager.messages({ sessionId: id, after: 0, limit: 50 })).at(-1)
      const shown = answer?._tag === "AssistantMessage" ? answer.text : ""
      const order = Array.from(shown.matchAll(/did sub (\d)/g), ([, n]) => Number(n))
      assert.deepStrictEqual(order, [0, 1, 2, 3, 4])
      const subs = yield* subsOf(id)
      assert.strictEqual(subs.length, 5)
      assert.isTrue(subs.every(({ parent }) => parent === id))
      yield* eventually("all have ended", () => true)
      for (const { id: sub } of subs) yield* until(sub, is("SessionEnded"))
      assert.deepInclude(yield* manager.get(id), { status: "idle", subSessions: [] })
      yield* checkAll([id, ...subs.map(({ id }) => id)])
      const events = (yield* eventsOf(id)).map(({ event }) => event._tag)
      assert.strictEqual(events.filter((tag) => tag === "SubSessionStarted").length, 5)
      assert.strictEqual(events.filter((tag) => tag === "SubSessionEnded").length, 5)
    }).pipe(inProcess({ model: actor(fanOut) }), durable)
  )

  it.effect("are seen in the tree and in the registry below their session, and one cancel stops all of them", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const registry = yield* Registry
      const world = yield* SessionWorld
      const id = yield* ask("go")
      yield* eventually("the deepest runs", () => world.runs.length === 1)
      const [sub] = yield* subsOf(id)
      const [deep] = sub === undefined ? [] : yield* subsOf(sub.id)
      if (sub === undefined || deep === undefined) return assert.fail("there are no sub-sessions")
      assert.deepInclude(yield* registry.lookup({ session: id, role: "sub", index: 0 }), { status: "busy" })
      assert.strictEqual(
        (yield* registry.lookup({ session: sub.id, role: "sub", index: 0 })).metadata["sessionId"],
        deep.id
      )
      const ids = (node: TreeNode): ReadonlyArray<string> => [node.id, ...node.children.flatMap(ids)]
      assert.includeMembers([...ids(yield* (yield* Root).tree)], [`${id} sub-sessions`, sub.id, deep.id])
      yield* manager.cancelTurn(id)
      for (const each of [sub.id, deep.id]) assert.strictEqual((yield* manager.get(each)).status, "ended")
      assert.deepInclude(yield* manager.get(id), { status: "idle", subSessions: [] })
      assert.deepStrictEqual(
        (yield* registry.find({})).map(({ key }) => key.session),
        [id]
      )
      yield* checkAll([id, sub.id, deep.id])
    }).pipe(
      inProcess({
        model: actor((said, results) => {
          if (results.length > 0) return says("done")
          if (said === "deep") return calls(["wait_once", {}])
          return calls(["delegate", { task: said === "go" ? "middle" : "deep" }])
        })
      }),
      durable
    )
  )

  it.effect("are stopped with the session above them", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const world = yield* SessionWorld
      const id = yield* ask("go")
      const own = yield* manager.start({ parent: { sessionId: id }, title: "by hand" })
      yield* eventually("it runs", () => world.runs.length === 1)
      yield* manager.stop(id)
      const subs = yield* subsOf(id)
      assert.includeMembers(
        subs.map(({ id }) => id),
        [own.id]
      )
      assert.deepStrictEqual(
        subs.map(({ status }) => status),
        ["ended", "ended"]
      )
      yield* checkAll([id, ...subs.map(({ id }) => id)])
    }).pipe(
      inProcess({
        model: actor((said) => (said === "go" ? calls(["delegate", { task: "wait" }]) : calls(["wait_once", {}])))
      }),
      durable
    )
  )

  it.effect("tell of their failure with what they had by then", () =>
    Effect.gen(function* () {
      const id = yield* ask("go")
      for (let i = 0; i < 300; i++) yield* Effect.yieldNow
      yield* TestClock.adjust("5 seconds")
      yield* ended(id, 1)
      const [late] = yield* settled(id)
      if (late?._tag !== "ToolFailed") return assert.fail(`it ended well: ${late?._tag}`)
      assert.deepInclude(late, { partial: "so far so good" })
      assert.strictEqual(late.failure.code, "deadline_exceeded")
    }).pipe(
      inProcess({
        model: actor((said, results) => {
          if (said !== "go") return cut("so far so good")
          return results.length === 0 ? calls(["delegate", { task: "slow", deadline: 5 }]) : says("a pity")
        })
      }),
      durable
    )
  )

  it.effect("survive the death of the process, and what they come to reaches the session above once", () =>
    Effect.gen(function* () {
      const world = yield* SessionWorld
      const model = actor((said, results) => {
        if (said === "go") return results.length === 0 ? calls(["delegate", { task: "work" }]) : says("done")
        return results.length === 0 ? calls(["wait_again", {}]) : says("worked")
      })
      const id = yield* Effect.gen(function* () {
        const id = yield* ask("go")
        yield* eventually("it runs", () => world.runs.length === 1)
        return id
      }).pipe(inProcess({ model }))
      world.forgetGates()
      yield* Deferred.succeed(world.gate("wait_again"), "done")
      yield* Effect.gen(function* () {
        yield* ended(id, 1)
        assert.deepStrictEqual(
          (yield* settled(id)).map(({ _tag }) => _tag),
          ["ToolCompleted"]
        )
      }).pipe(inProcess({ model }))
      assert.deepStrictEqual(world.runs, ["wait_again", "wait_again"])
      yield* checkAll([id])
    }).pipe(durable)
  )

  it.effect("ask the person of the session at the root, whose answer reaches them, also after a restart", () =>
    Effect.gen(function* () {
      const world = yield* SessionWorld
      const model = actor((said, results) => {
        if (said === "deep") return results.length === 0 ? calls(["shell", {}]) : says("ran it")
        return results.length === 0 ? calls(["delegate", { task: said === "go" ? "middle" : "deep" }]) : says("ok")
      })
      const id = yield* Effect.gen(function* () {
        const id = yield* ask("go")
        yield* until(id, is("PermissionRequested"))
        return id
      }).pipe(inProcess({ model }))
      yield* Effect.gen(function* () {
        const manager = yield* SessionManager
        const [asked] = yield* manager.permissions(id)
        const [middle] = yield* subsOf(id)
        const [deep] = middle === undefined ? [] : yield* subsOf(middle.id)
        if (asked === undefined || middle === undefined || deep === undefined) return assert.fail("nothing is asked")
        assert.deepInclude(asked, { tool: "shell", path: [middle.id, deep.id] })
        for (const each of [id, middle.id, deep.id]) {
          assert.strictEqual((yield* manager.get(each)).status, "awaiting_permission")
        }
        const { hash, permissionId } = asked
        yield* manager.resolvePermission({ sessionId: id, permissionId, hash, decision: "allow" })
        yield* ended(id, 1)
        assert.deepStrictEqual(world.runs, ["shell"])
        yield* checkAll([id, middle.id, deep.id])
      }).pipe(inProcess({ model }))
    }).pipe(durable)
  )

  it.effect("an answer to a sub-session itself is known at the root", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const id = yield* ask("go")
      yield* until(id, is("PermissionRequested"))
      const [sub] = yield* subsOf(id)
      if (sub === undefined) return assert.fail("there is none")
      const [asked] = yield* manager.permissions(sub.id)
      if (asked === undefined) return assert.fail("nothing is asked")
      const { hash, permissionId } = asked
      yield* manager.resolvePermission({ sessionId: sub.id, permissionId, hash, decision: "deny" })
      assert.strictEqual((yield* until(id, is("PermissionResolved"))).decision, "deny")
      yield* ended(id, 1)
      assert.deepStrictEqual((yield* SessionWorld).runs, [])
    }).pipe(
      inProcess({
        model: actor((said, results) =>
          said === "go"
            ? results.length === 0
              ? calls(["delegate", { task: "run it" }])
              : says("ok")
            : results.length === 0
              ? calls(["shell", {}])
              : says("could not")
        )
      }),
      durable
    )
  )

  it.effect("started by hand can be spoken to, and end when they are idle for too long", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({})
      const sub = yield* manager.start({ parent: { sessionId: id, idleLimit: 60_000 } })
      yield* manager.send({ sessionId: sub.id, text: "hello" })
      yield* ended(sub.id, 1)
      assert.deepStrictEqual((yield* manager.get(id)).subSessions, [sub.id])
      yield* TestClock.adjust("30 seconds")
      yield* manager.send({ sessionId: sub.id, text: "again" })
      yield* ended(sub.id, 2)
      yield* TestClock.adjust("45 seconds")
      assert.strictEqual((yield* manager.get(sub.id)).status, "idle")
      yield* TestClock.adjust("1 minute")
      assert.include((yield* until(sub.id, is("SessionEnded"))).reason, "idle")
      yield* until(id, is("SubSessionEnded"))
      assert.deepStrictEqual((yield* manager.get(id)).subSessions, [])
    }).pipe(inProcess(), durable)
  )
})

describe("llm-loop", () => {
  it.effect("agents that delegate for ever are stopped at depth 3", () =>
    Effect.gen(function* () {
      const id = yield* ask("go")
      yield* ended(id, 1)
      let at: SessionId | undefined = id
      let depth = -1
      while (at !== undefined) {
        depth++
        at = (yield* subsOf(at))[0]?.id
      }
      assert.strictEqual(depth, 3)
    }).pipe(
      inProcess({
        model: actor((_, results) => (results.length === 0 ? calls(["delegate", { task: "more" }]) : says("enough")))
      }),
      durable
    )
  )

  it.effect("what sub-sessions use counts above them: a budget is passed by one call at most", () => {
    let asked = 0
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({ limits: { sessionTokens: 20 } })
      yield* manager.send({ sessionId: id, text: "go" })
      yield* ended(id, 1)
      // Each answer takes two tokens.
      assert.isAtMost(asked, 10 + 1)
      assert.isAtLeast(asked, 10)
    }).pipe(
      inProcess({
        model: actor((said, results) => {
          asked++
          if (said !== "go") return calls(["echo", {}])
          return calls(["delegate", { task: `more ${results.length}` }])
        })
      }),
      durable
    )
  })

  it.effect("agents that work side by side pass a budget by one call at most, all together", () => {
    let asked = 0
    const agents = 5
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({ limits: { sessionTokens: 40 } })
      yield* manager.send({ sessionId: id, text: "go" })
      assert.strictEqual((yield* ended(id, 1)).failure?.code, "token_budget_exceeded")
      assert.isAtLeast(asked, 20)
      assert.isAtMost(asked, 20 + 1)
    }).pipe(
      inProcess({
        model: actor((said) => {
          asked++
          if (said !== "go") return calls(["echo", {}])
          return calls(...Array.from({ length: agents }, () => ["delegate", { task: "more" }] as const))
        })
      }),
      durable
    )
  })

  it.effect(
    "what is not in memory counts too: sessions above that are not back yet, and those below that just ended",
    () =>
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const journal = yield* Journal
        const { id } = yield* manager.start({})
        yield* manager.send({ sessionId: id, text: "go" })
        yield* untilAsked(id, 2)
        const [one, other] = yield* subsOf(id)
        if (one === undefined || other === undefined) return assert.fail("there are not two")
        const stateOf = (id: SessionId) => Effect.orDie(load(journal, id))
        const state = yield* stateOf(one.id)
        if (state === undefined) return assert.fail("it is not stored")
        const limited = (sessionTokens: number) =>
          overBudget({ stateOf }, { sessionTokens }, { state }, 0, Budget.nothing, false)
        // Two tokens of each of the three.
        assert.strictEqual((yield* limited(6))?.code, "token_budget_exceeded")
        assert.isUndefined(yield* limited(7))
        yield* manager.stop(id)
      }).pipe(
        inProcess({
          model: actor((said) =>
            said === "go" ? calls(["delegate", { task: "one" }], ["delegate", { task: "other" }]) : calls(["shell", {}])
          )
        }),
        durable
      )
  )

  it.effect.each(["its turn is cancelled", "its deadline has passed", "somebody stops it"] as const)(
    "what those below a sub-session used counts at the root also when %s",
    (how) =>
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const world = yield* SessionWorld
        const { id } = yield* manager.start({ limits: { sessionTokens: 8 } })
        yield* manager.send({ sessionId: id, text: "go" })
        yield* eventually("the lowest is at work", () => world.runs.includes("wait_once"))
        const [middle] = yield* subsOf(id)
        if (middle === undefined) return assert.fail("there is none")
        if (how === "its turn is cancelled") yield* manager.cancelTurn(id)
        else if (how === "its deadline has passed") yield* TestClock.adjust("1 minute")
        else yield* manager.stop(middle.id)
        yield* ended(id, 1)
        // Two tokens of each of the three answers, and two more where it went on.
        yield* manager.send({ sessionId: id, text: "and now" })
        yield* ended(id, 2)
        const events = (yield* eventsOf(id)).map(({ event }) => event)
        const below = events.flatMap((event) => (event._tag === "SubSessionEnded" ? [event.spent.tokens] : []))
        assert.deepStrictEqual(below, [4])
      }).pipe(
        inProcess({
          model: actor((said, results) => {
            if (results.length > 0) return says("ok")
            if (said === "go") return calls(["delegate", { task: "middle", deadline: 60 }])
            return said === "middle" ? calls(["delegate", { task: "low" }]) : calls(["wait_once", {}])
          })
        }),
        durable
      )
  )

  it.effect("what agents used counts also when the session above them is given up after one crash too many", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const world = yield* SessionWorld
      const sessions = yield* Sessions
      const { id } = yield* manager.start({})
      yield* manager.send({ sessionId: id, text: "go" })
      yield* eventually("the lowest is at work", () => world.runs.includes("wait_once"))
      for (let crash = 1; crash <= 4; crash++) {
        yield* sessions.crashChild(id)
        for (let n = 0; n < 100; n++) yield* Effect.yieldNow
      }
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* ended(id, 1)).failure?.code, "session_crashed")
      const events = (yield* eventsOf(id)).map(({ event }): RuntimeEvent => event)
      assertLaws(events)
      // Two tokens of each of the two below it.
      assert.deepStrictEqual(
        events.flatMap((event) => (event._tag === "SubSessionEnded" ? [event.spent.tokens] : [])),
        [4]
      )
      assert.strictEqual((yield* load(yield* Journal, id))?.spent.tokens, 6)
    }).pipe(
      inProcess({
        model: actor((said) => {
          if (said === "go") return calls(["delegate", { task: "middle" }])
          return said === "middle" ? calls(["delegate", { task: "low" }]) : calls(["wait_once", {}])
        })
      }),
      durable
    )
  )
})
