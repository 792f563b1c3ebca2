/** A budget that several agents share is passed by one call at most, however many of them ask the model at once. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import * as Reservations from "../../layers/session/Reservations.ts"
import * as Topic from "../../services/events/Topic.ts"
import { write } from "../../services/model/ownMetadata.ts"
import type * as Budget from "../../services/session/Budget.ts"
import * as Reservation from "../../services/session/Reservation.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { SessionDesk } from "../../services/session/SessionDesk.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { fold } from "../../services/session/SessionState.ts"
import { ended } from "../contracts/SessionManager.ts"
import { eventually } from "../support/eventually.ts"
import { calls, layer as scripted, type Part, says } from "../support/ScriptedModel.ts"
import { inProcess, layerDurable, SessionWorld } from "../support/SessionWorld.ts"

const durable = Effect.provide(layerDurable)

const AGENTS = 8
/** What each answer takes. */
const EACH = 20_000
const COST = 0.25

const usage = {
  inputTokens: { uncached: EACH - 1, total: EACH - 1, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 1, text: 1, reasoning: undefined }
}

const dear = (parts: ReadonlyArray<Part>): ReadonlyArray<Part> => [
  ...parts.slice(0, -1),
  {
    type: "finish",
    reason: parts[0]?.type === "tool-call" ? "tool-calls" : "stop",
    usage,
    metadata: write({ model: "dear", cost: COST })
  }
]

const breaths = (count: number) =>
  Effect.gen(function* () {
    for (let n = 0; n < count; n++) yield* Effect.yieldNow
  })

/** A model that takes its time. What it is asked for by an agent waits for `pause`. */
class Slow {
  asked = 0
  answered = 0
  underway = 0
  most = 0
  /** Calls that began beside others, each with the answers before it and the calls with it. */
  readonly beside: Array<{ readonly answered: number; readonly underway: number }> = []
  pause: (said: string) => Effect.Effect<void> = () => breaths(30)
  act: (said: string, isFirst: boolean) => ReadonlyArray<Part> = (said, isFirst) => {
    if (said !== "go") return calls(["echo", {}])
    return isFirst
      ? calls(...Array.from({ length: AGENTS }, (_, n) => ["delegate", { task: `${n}` }] as const))
      : says("ok")
  }

  readonly layer = scripted(({ prompt: { content } }) => {
    const user = content.findLast(({ role }) => role === "user")
    const said = user?.role === "user" && user.content[0]?.type === "text" ? user.content[0].text : ""
    const isFirst = content.at(-1)?.role === "user"
    const answer = Effect.gen({ self: this }, function* () {
      this.asked++
      this.underway++
      this.most = Math.max(this.most, this.underway)
      if (this.underway > 1) this.beside.push({ answered: this.answered, underway: this.underway })
      yield* this.pause(said)
      this.answered++
      return Stream.fromIterable(dear(this.act(said, isFirst)))
    })
    return Stream.unwrap(
      Effect.ensuring(
        answer,
        Effect.sync(() => this.underway--)
      )
    )
  })
}

const subsOf = (id: SessionId) => Effect.flatMap(SessionManager, (manager) => manager.list({ parent: id, limit: 100 }))

const spentBy = (id: SessionId) =>
  Effect.map(
    SessionManager.use(({ get }) => get(id)),
    ({ spent }) => spent ?? { tokens: 0, cost: 0 }
  )

/** All agents at once, one of which has begun and holds what is left of the budget. */
const held = Effect.fnUntraced(function* (model: Slow) {
  const manager = yield* SessionManager
  const limits = { sessionTokens: 2.5 * EACH }
  const gate = Deferred.makeUnsafe<void>()
  let holder = ""
  model.pause = (said) => {
    if (said === "go" || holder !== "") return Effect.void
    holder = said
    return Deferred.await(gate)
  }
  const { id } = yield* manager.start({ limits })
  yield* manager.send({ sessionId: id, text: "go" })
  yield* eventually("one of them asks", () => holder !== "")
  yield* breaths(300)
  // The one of the session above, and this one.
  assert.strictEqual(model.asked, 2)
  const subs = yield* subsOf(id)
  assert.strictEqual(subs.length, AGENTS)
  const holding = subs.find(({ title }) => title === holder)
  const waiting = subs.find(({ title }) => title !== holder)
  return holding === undefined || waiting === undefined ? assert.fail("not begun") : { id, gate, holding, waiting }
})

describe("agents side by side", () => {
  it.effect.each([
    ["tokens", { sessionTokens: 50.5 * EACH }, 50.5],
    ["the tokens of a turn", { turnTokens: 50.5 * EACH }, 50.5],
    ["money", { sessionCost: 50.5 * COST }, 50.5],
    ["the money of a turn", { turnCost: 50.5 * COST }, 50.5],
    ["tokens from the start", { sessionTokens: 2.5 * EACH }, 2.5],
    ["money from the start", { sessionCost: 2.5 * COST }, 2.5]
  ] as const)("pass a limit of %s by one call at most, and ask one by one only near it", ([, limits, limit]) => {
    const model = new Slow()
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({ limits })
      yield* manager.send({ sessionId: id, text: "go" })
      assert.match((yield* ended(id, 1)).failure?.code ?? "", /budget_exceeded/)
      assert.strictEqual(model.asked, Math.ceil(limit))
      const spent = yield* spentBy(id)
      assert.strictEqual(spent.tokens, model.asked * EACH)
      assert.closeTo(spent.cost, model.asked * COST, 1e-6)
      assert.strictEqual(model.most, limit > 2 * AGENTS ? AGENTS : 1)
      for (const { answered, underway } of model.beside) assert.isAtMost(answered + underway, limit)
    }).pipe(inProcess({ model: model.layer }), durable)
  })

  it.effect("wait for nobody where neither tokens nor money are limited", () =>
    Effect.gen(function* () {
      for (const limits of [{ steps: 5 }, { steps: 5, turnTime: 3_600_000 }]) {
        const model = new Slow()
        yield* Effect.gen(function* () {
          const manager = yield* SessionManager
          const { id } = yield* manager.start({ limits })
          yield* manager.send({ sessionId: id, text: "go" })
          yield* ended(id, 1)
          assert.strictEqual(model.most, AGENTS)
        }).pipe(inProcess({ model: model.layer }))
      }
    }).pipe(durable)
  )

  it.effect("a cancel ends those that wait for room and the one that has it, and leaves nothing reserved", () => {
    const model = new Slow()
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* held(model)
      model.pause = (said) => (said === "go" ? Effect.void : Effect.never)
      yield* manager.cancelTurn(id)
      assert.deepInclude(yield* manager.get(id), { status: "idle", subSessions: [] })
      assert.deepStrictEqual([model.answered, model.underway, model.most], [1, 0, 1])
      model.act = () => says("ok")
      yield* manager.send({ sessionId: id, text: "go" })
      assert.strictEqual((yield* ended(id, 2)).outcome, "completed")
    }).pipe(inProcess({ model: model.layer }), durable)
  })

  it.effect.each(["cancelled", "stopped"] as const)(
    "one that waits may be %s without holding up the others, and so may the one that is under way",
    (how) => {
      const model = new Slow()
      return Effect.gen(function* () {
        const manager = yield* SessionManager
        const end = (id: SessionId) => (how === "stopped" ? manager.stop(id) : manager.cancelTurn(id))
        const { holding, id, waiting } = yield* held(model)
        yield* end(waiting.id)
        yield* breaths(100)
        assert.strictEqual(model.asked, 2)
        yield* end(holding.id)
        assert.strictEqual((yield* ended(id, 1)).failure?.code, "token_budget_exceeded")
        // What the one under way would have taken is nobody's.
        assert.strictEqual(model.answered, 3)
        assert.strictEqual((yield* spentBy(id)).tokens, 3 * EACH)
      }).pipe(inProcess({ model: model.layer }), durable)
    }
  )

  it.effect("one that crashes with its answer gives its room back, and asks again after the others", () => {
    const model = new Slow()
    return Effect.gen(function* () {
      const world = yield* SessionWorld
      const { gate, id } = yield* held(model)
      world.beforeAppend = Effect.suspend(() => {
        world.beforeAppend = Effect.yieldNow
        return Effect.die(new Error("poisoned once"))
      })
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* ended(id, 1)).failure?.code, "token_budget_exceeded")
      // The answer that was lost is not in the books.
      assert.strictEqual(model.answered, 4)
      assert.strictEqual((yield* spentBy(id)).tokens, 3 * EACH)
    }).pipe(inProcess({ model: model.layer }), durable)
  })

  it.effect("after the death of the process nothing is reserved, and the limit holds", () => {
    const model = new Slow()
    return Effect.gen(function* () {
      const { id } = yield* held(model).pipe(inProcess({ model: model.layer }))
      model.pause = () => breaths(30)
      yield* Effect.gen(function* () {
        assert.strictEqual((yield* ended(id, 1)).failure?.code, "token_budget_exceeded")
        assert.strictEqual((yield* spentBy(id)).tokens, 3 * EACH)
      }).pipe(inProcess({ model: model.layer }))
      assert.strictEqual(model.most, 1)
    }).pipe(durable)
  })

  it.effect("share it with texts that MCP servers have completed, anywhere in the tree", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const desk = yield* SessionDesk
      const above = (yield* manager.start({ limits: { sessionTokens: 10.5 * EACH } })).id
      const below = yield* Effect.forEach([1, 2, 3], () => manager.start({ parent: { sessionId: above } }))
      const answer = { usage: { inputTokens: EACH - 1, outputTokens: 1 } }
      let underway = 0
      const most: Array<number> = []
      const text = Effect.gen(function* () {
        most.push(++underway)
        yield* breaths(20)
        underway--
        return { answer }
      })
      const ids = [above, ...below.map(({ id }) => id)]
      const ends = yield* Effect.forEach(
        Array.from({ length: 16 }, (_, n) => ids[n % ids.length] ?? above),
        (sessionId) => Effect.result(desk.charge({ sessionId, server: "paint", shown: EACH, maxTokens: 100 }, text)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(ends.filter(({ _tag }) => _tag === "Success").length, 11)
      assert.isAbove(Math.max(...most), 4)
      assert.deepStrictEqual(most.slice(-1), [1])
    }).pipe(inProcess(), durable)
  )
})

const stateWith = (limits: Budget.Limits | undefined) => {
  const id = SessionId.make("ses_one")
  const event = {
    _tag: "SessionStarted",
    title: "",
    agentType: "default",
    metadata: {},
    ...(limits === undefined ? undefined : { limits })
  } as const
  const state = fold(undefined, { topic: Topic.ofSession(id), sequence: 1, at: 0, event })
  return state === undefined ? assert.fail("it has not begun") : state
}

const nobody = { find: () => undefined, stateOf: () => Effect.undefined }

describe("room for calls", () => {
  it.effect("nothing is kept, looked at or estimated where neither tokens nor money are limited", () =>
    Effect.gen(function* () {
      const others = { ...nobody, stateOf: () => Effect.die(new Error("it was looked at")) }
      const reservations = Reservations.make(others, { steps: 50, turnTime: 1, sessionTime: 1 })
      const payer = { state: stateWith({ steps: 1 }) }
      const size = () => assert.fail("it was estimated")
      yield* reservations.afford(payer, size, () => Effect.sync(() => assert.strictEqual(reservations.size(), 0)))
    })
  )

  it.effect("is given in the order in which it was asked for, and nothing is kept of a tree that is gone", () =>
    Effect.gen(function* () {
      const reservations = Reservations.make(nobody, { sessionTokens: 1 })
      const payer = { state: stateWith(undefined) }
      const order: Array<number> = []
      const gates = Array.from({ length: 6 }, () => Deferred.makeUnsafe<void>())
      const fibers = yield* Effect.forEach(gates, (gate, n) =>
        Effect.tap(
          Effect.forkChild(
            reservations.afford(
              payer,
              () => ({ shown: 1 }),
              () =>
                Effect.andThen(
                  Effect.sync(() => order.push(n)),
                  Deferred.await(gate)
                )
            )
          ),
          breaths(10)
        )
      )
      assert.deepStrictEqual(order, [0])
      for (const n of [1, 3]) yield* Effect.forEach(fibers.slice(n, n + 1), Fiber.interrupt)
      for (const gate of gates) {
        yield* Deferred.succeed(gate, undefined)
        yield* breaths(10)
      }
      assert.deepStrictEqual(order, [0, 2, 4, 5])
      assert.strictEqual(reservations.size(), 0)
    })
  )

  it("is estimated by what is shown, by the limit of the answer, and by what calls before it took", () => {
    const size = { shown: 1_000 }
    assert.deepStrictEqual(Reservation.estimate(Reservation.unseen, size), {
      tokens: 1_000 + Reservation.ANSWER,
      cost: Infinity
    })
    assert.strictEqual(Reservation.estimate(Reservation.unseen, { shown: 1_000, answer: 50 }).tokens, 1_050)
    const seen = Reservation.see(Reservation.unseen, size, { tokens: 41_000, cost: 0.41 })
    assert.strictEqual(Reservation.estimate(seen, { shown: 0 }).tokens, 41_000)
    assert.strictEqual(Reservation.estimate(seen, { shown: 2_000 }).tokens, 42_000)
    assert.closeTo(Reservation.estimate(seen, { shown: 2_000 }).cost, 0.42, 1e-9)
    const prices = [{ input: 2, output: 10, cacheWrite: 3 }]
    assert.closeTo(Reservation.estimate(Reservation.unseen, { shown: 1_000, answer: 50 }, prices).cost, 0.0035, 1e-9)
    // One that nothing is known of has taught nothing.
    assert.strictEqual(Reservation.see(seen, size, { tokens: 0, cost: 0 }), seen)
  })
})
