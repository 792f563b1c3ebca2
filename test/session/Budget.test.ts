import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { write } from "../../services/model/ownMetadata.ts"
import * as Budget from "../../services/session/Budget.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { ended } from "../contracts/SessionManager.ts"
import { calls, layer as scripted, says, type Script } from "../support/ScriptedModel.ts"
import { eventually } from "../support/eventually.ts"
import { eventsOf, inProcess, layerDurable, SessionWorld, tagsOf } from "../support/SessionWorld.ts"

const durable = Effect.provide(layerDurable)

/** Each answer of the scripted model takes two tokens. */
const EACH = 2

const usage = {
  inputTokens: { uncached: 1, total: 1, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 1, text: 1, reasoning: undefined }
}

/** How often the model was asked, and how the turns ended. */
const run = Effect.fnUntraced(function* (script: Script, limits: Budget.Limits, messages = 1, server?: Budget.Limits) {
  let asked = 0
  const model = scripted((options, round) => {
    asked++
    return script(options, round)
  })
  return yield* Effect.gen(function* () {
    const manager = yield* SessionManager
    const { id } = yield* manager.start({ limits })
    const ends: Array<string | undefined> = []
    for (let n = 1; n <= messages; n++) {
      yield* manager.send({ sessionId: id, text: "go" })
      const { failure, outcome } = yield* ended(id, n)
      ends.push(failure?.code ?? outcome)
    }
    return { asked, ends, events: yield* eventsOf(id) }
  }).pipe(inProcess({ model, budget: server }))
})

const forEver: Script = () => calls(["echo", { text: "again" }])

describe("llm-loop", () => {
  it.effect(
    "a model that calls tools for ever is stopped by steps, tokens or money, with one call too many at most",
    () =>
      Effect.gen(function* () {
        const steps = yield* run(forEver, {})
        assert.deepStrictEqual(steps.ends, ["too_many_steps"])
        assert.strictEqual(tagsOf(steps.events).filter((tag) => tag === "ToolCallRequested").length, 50)
        assert.strictEqual(steps.asked, 51)

        const tokens = yield* run(forEver, { turnTokens: 10 })
        assert.deepStrictEqual(tokens.ends, ["token_budget_exceeded"])
        assert.strictEqual(tokens.asked, 10 / EACH)
        // The answer that used up the rest is kept, and its calls are not run.
        assert.strictEqual(tagsOf(tokens.events).filter((tag) => tag === "ToolCallRequested").length, 4)
      }).pipe(durable)
  )

  it.effect("money stops it too, and so does the time of the whole session", () =>
    Effect.gen(function* () {
      const dear: Script = () => [
        ...calls(["echo", { text: "again" }]).slice(0, -1),
        { type: "finish", reason: "tool-calls", usage, metadata: write({ model: "dear", cost: 0.4 }) }
      ]
      const money = yield* run(dear, { turnCost: 1 })
      assert.deepStrictEqual(money.ends, ["cost_budget_exceeded"])
      // 0.4, 0.8, and with 1.2 it is over: its calls are not run.
      assert.strictEqual(money.asked, 3)
      assert.strictEqual(tagsOf(money.events).filter((tag) => tag === "ToolCallRequested").length, 2)
      const session = yield* run(dear, { sessionCost: 1 }, 2)
      assert.deepStrictEqual(session.ends, ["cost_budget_exceeded", "cost_budget_exceeded"])
      assert.strictEqual(session.asked, 3)

      let asked = 0
      const model = scripted(() => {
        asked++
        return says("ok")
      })
      yield* Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({ limits: { sessionTime: 60_000 } })
        for (let n = 1; n <= 4; n++) {
          yield* manager.send({ sessionId: id, text: "go" })
          const { failure, outcome } = yield* ended(id, n)
          assert.strictEqual(failure?.code ?? outcome, n <= 3 ? "completed" : "time_budget_exceeded")
          yield* TestClock.adjust("20 seconds")
        }
        assert.strictEqual(asked, 3)
      }).pipe(inProcess({ model }))
    }).pipe(durable)
  )

  it.effect("what was used counts over the death of the process: of the session, of the turn, and its rounds", () =>
    Effect.gen(function* () {
      for (const [limits, code, requested] of [
        [{ sessionTokens: 10 }, "token_budget_exceeded", 4],
        [{ turnTokens: 10 }, "token_budget_exceeded", 4],
        [{ steps: 4 }, "too_many_steps", 4],
        [{ turnTime: 10_000 }, "time_budget_exceeded", 2]
      ] as const) {
        const world = yield* SessionWorld
        world.isStorageAway = false
        const id = SessionId.make(`ses_${Object.keys(limits).join()}`)
        const model = scripted(() => calls(["echo", { text: "again" }]))
        yield* Effect.gen(function* () {
          const manager = yield* SessionManager
          yield* manager.start({ sessionId: id, limits })
          let left = 5
          world.beforeAppend = Effect.sync(() => {
            if (left-- <= 0) world.isStorageAway = true
          })
          yield* manager.send({ sessionId: id, text: "go" })
          yield* eventually("it dies", () => world.isStorageAway)
        }).pipe(inProcess({ model }))
        world.isStorageAway = false
        world.beforeAppend = Effect.yieldNow
        yield* TestClock.adjust("11 seconds")
        yield* Effect.gen(function* () {
          assert.strictEqual((yield* ended(id, 1)).failure?.code, code)
        }).pipe(inProcess({ model }))
        const requests = tagsOf(yield* eventsOf(id)).filter((tag) => tag === "ToolCallRequested").length
        assert.strictEqual(requests, requested, code)
      }
    }).pipe(durable)
  )

  it.effect("what a session used counts over its turns", () =>
    Effect.gen(function* () {
      const answers: Script = () => says("ok")
      const { asked, ends } = yield* run(answers, { sessionTokens: 6 }, 5)
      assert.deepStrictEqual(ends, [
        "completed",
        "completed",
        "completed",
        "token_budget_exceeded",
        "token_budget_exceeded"
      ])
      assert.strictEqual(asked, 3)
    }).pipe(durable)
  )

  it.effect("a session may be held shorter than the server says, and never longer", () =>
    Effect.gen(function* () {
      const shorter = yield* run(forEver, { steps: 3 })
      assert.strictEqual(shorter.asked, 4)
      const longer = yield* run(forEver, { steps: 100 }, 1, { steps: 5 })
      assert.strictEqual(longer.asked, 6)
    }).pipe(durable)
  )

  it.effect("a turn ends when its time is up, once its last call has", () =>
    Effect.gen(function* () {
      const slow = scripted((_, round) => (round < 3 ? calls(["silent", {}]) : says("done")))
      yield* Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({ limits: { turnTime: 90_000 } })
        yield* manager.send({ sessionId: id, text: "go" })
        for (let i = 0; i < 4; i++) {
          for (let j = 0; j < 100; j++) yield* Effect.yieldNow
          yield* TestClock.adjust("1 minute")
        }
        assert.strictEqual((yield* ended(id, 1)).failure?.code, "time_budget_exceeded")
        const asked = tagsOf(yield* eventsOf(id)).filter((tag) => tag === "ToolCallRequested")
        assert.strictEqual(asked.length, 2)
      }).pipe(inProcess({ model: slow }))
    }).pipe(durable)
  )
})

describe("limits", () => {
  it.prop(
    "of two the tighter one counts, in any order, and nothing is loosened",
    [Budget.Limits, Budget.Limits],
    ([a, b]) => {
      const both = Budget.tighter(a, b)
      assert.deepStrictEqual(both, Budget.tighter(b, a))
      for (const name of Object.keys(Budget.Limits.fields) as Array<keyof Budget.Limits>) {
        const values = [a[name], b[name]].filter((value) => value !== undefined)
        assert.strictEqual(both[name], values.length === 0 ? undefined : Math.min(...values))
      }
    }
  )

  it.prop(
    "money counts as tokens do",
    [Schema.Array(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 5 }))).check(Schema.isMaxLength(20))],
    ([costs]) => {
      let spent = Budget.nothing
      let asked = 0
      const account = () => ({
        turn: { spent, startedAt: 0, steps: 0 },
        session: { spent: Budget.nothing, startedAt: 0 },
        now: 0
      })
      for (const cost of costs) {
        if (Budget.exceeded({ turnCost: 10 }, account()) !== undefined) break
        spent = Budget.add(spent, Budget.spendingOf({ inputTokens: 1, outputTokens: 1, cost }))
        asked++
      }
      const before = costs.slice(0, Math.max(0, asked - 1)).reduce((sum, cost) => sum + cost, 0)
      assert.isBelow(before, 10 + 1e-9, "one call too many at most")
    }
  )
})
