import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Budget from "../../services/session/Budget.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { ended } from "../contracts/SessionManager.ts"
import { calls, layer as scripted, says, type Script } from "../support/ScriptedModel.ts"
import { eventsOf, inProcess, layerDurable, tagsOf } from "../support/SessionWorld.ts"

const durable = Effect.provide(layerDurable)

/** Each answer of the scripted model takes two tokens. */
const EACH = 2

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

  it.effect("what a session used counts over its turns and over the death of its process", () =>
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
