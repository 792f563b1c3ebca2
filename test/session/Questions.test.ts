/** Questions of MCP servers as a session deals with them; who asks is a tool that stands for a server. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import { Person } from "../../services/access/Person.ts"
import {
  type AnswerContent,
  MAX_OPEN,
  type Question,
  type QuestionAction,
  QuestionId
} from "../../services/question/Question.ts"
import { SessionDesk } from "../../services/session/SessionDesk.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { ToolCall } from "../../services/tools/Tool.ts"
import { ended } from "../contracts/SessionManager.ts"
import { eventually } from "../support/eventually.ts"
import { calls, layer as scripted, says } from "../support/ScriptedModel.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { colour, eventsOf, inProcess, is, layerDurable, SessionWorld, until } from "../support/SessionWorld.ts"

const durable = Effect.provide(layerDurable)

/** Starts a session whose tool asks, and waits until it does. */
const asking = Effect.fnUntraced(function* (text = "/tool asks") {
  const manager = yield* SessionManager
  const { id } = yield* manager.start({})
  yield* manager.send({ sessionId: id, text })
  return { id, asked: yield* askedOf(id) }
})

const askedOf = Effect.fnUntraced(function* (id: SessionId) {
  yield* until(id, is("QuestionAsked"))
  const [asked] = yield* SessionManager.use((manager) => manager.questions(id))
  return asked ?? assert.fail("nothing is asked")
})

const answer = (
  id: SessionId,
  { questionId }: Pick<Question, "questionId">,
  content: AnswerContent = { colour: "red" },
  action: QuestionAction = "accept"
) => SessionManager.use((manager) => manager.answerQuestion({ sessionId: id, questionId, action, content }))

const refusal = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), ({ _tag }) => _tag)

/** What the tool heard. */
const heard = (id: SessionId) =>
  Effect.map(until(id, is("ToolCallSettled")), ({ outcome }): unknown =>
    outcome._tag === "ToolCompleted" && typeof outcome.result === "string" ? JSON.parse(outcome.result) : outcome._tag
  )

const lawful = (id: SessionId) => Effect.map(eventsOf(id), (events) => assertLaws(events.map(({ event }) => event)))

const settledOf = (id: SessionId) =>
  Effect.map(eventsOf(id), (events) =>
    events.flatMap(({ event }) => (event._tag === "QuestionSettled" ? [event.action] : []))
  )

describe("a question of a server", () => {
  it.effect("waits for the session's person, whose answer reaches the server and is kept nowhere", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const { asked, id } = yield* asking()
      assert.deepInclude(asked, { server: "paint", message: "which colour?", schema: colour })
      assert.deepInclude(yield* manager.get(id), {
        status: "awaiting_permission",
        questions: [asked.questionId],
        permissions: []
      })
      yield* answer(id, asked, { colour: "green", coats: 3 })
      assert.deepStrictEqual(yield* heard(id), { action: "accept", content: { colour: "green", coats: 3 } })
      yield* ended(id, 1)
      assert.deepInclude(yield* manager.get(id), { status: "idle", questions: [] })
      assert.deepStrictEqual(yield* manager.questions(id), [])
      const settled = yield* until(id, is("QuestionSettled"))
      assert.deepStrictEqual(settled, {
        _tag: "QuestionSettled",
        questionId: asked.questionId,
        action: "accept",
        by: "local"
      })
      yield* lawful(id)
    }).pipe(inProcess(), durable)
  )

  it.effect("may be declined and cancelled", () =>
    Effect.gen(function* () {
      for (const action of ["decline", "cancel"] as const) {
        const { asked, id } = yield* asking()
        yield* answer(id, asked, {}, action)
        assert.deepStrictEqual(yield* heard(id), { action })
        assert.deepStrictEqual(yield* settledOf(id), [action])
      }
    }).pipe(inProcess(), durable)
  )

  it.effect("is answered once, by the session's person, with what fits; all else changes nothing", () =>
    Effect.gen(function* () {
      const { asked, id } = yield* asking()
      const other = yield* asking()
      const before = (yield* eventsOf(id)).length
      for (const content of [
        {},
        { colour: "blue" },
        { colour: "red", coats: 0 },
        { colour: "red", coats: 1.5 },
        { colour: ["red"] },
        { colour: "red", shade: "dark" }
      ]) {
        assert.strictEqual(yield* refusal(answer(id, asked, content)), "InvalidInput")
      }
      assert.strictEqual(
        yield* refusal(Effect.provideService(answer(id, asked), Person, "mallory")),
        "QuestionNotYours"
      )
      assert.strictEqual(
        yield* refusal(Effect.provideService(answer(id, asked, {}), Person, "mallory")),
        "QuestionNotYours"
      )
      const inTool = Effect.provideService(answer(id, asked), ToolCall, { sessionId: id, progress: () => Effect.void })
      assert.strictEqual(yield* refusal(inTool), "QuestionNotYours")
      assert.strictEqual(yield* refusal(answer(other.id, asked)), "QuestionNotFound")
      assert.strictEqual(yield* refusal(answer(id, { questionId: QuestionId.make("ques_none") })), "QuestionNotFound")
      assert.strictEqual((yield* eventsOf(id)).length, before)
      const both = yield* Effect.all(
        [Effect.result(answer(id, asked)), Effect.result(answer(id, asked, {}, "decline"))],
        {
          concurrency: 2
        }
      )
      assert.deepStrictEqual(
        both.map(({ _tag }) => _tag),
        ["Success", "Failure"]
      )
      assert.deepStrictEqual(yield* heard(id), { action: "accept", content: { colour: "red" } })
      assert.strictEqual(yield* refusal(answer(id, asked)), "QuestionAlreadySettled")
      yield* ended(id, 1)
      yield* lawful(id)
    }).pipe(inProcess(), durable)
  )

  it.effect("expires after five minutes, which the server hears as cancelled", () =>
    Effect.gen(function* () {
      const { asked, id } = yield* asking()
      yield* TestClock.adjust("4 minutes")
      assert.deepStrictEqual(yield* settledOf(id), [])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* heard(id), { action: "cancel" })
      assert.deepStrictEqual(yield* settledOf(id), ["expired"])
      assert.strictEqual(yield* refusal(answer(id, asked)), "QuestionExpired")
    }).pipe(inProcess(), durable)
  )

  it.effect("is withdrawn when its turn is cancelled, and when its session is stopped", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      for (const end of [manager.cancelTurn, manager.stop]) {
        const { asked, id } = yield* asking()
        yield* end(id)
        assert.deepStrictEqual(yield* settledOf(id), ["withdrawn"])
        assert.include(["QuestionAlreadySettled", "SessionHasEnded"], yield* refusal(answer(id, asked)))
        yield* lawful(id)
      }
    }).pipe(inProcess(), durable)
  )

  it.effect("is over with the process that it was asked in; the call that asked, run again, asks again", () =>
    Effect.gen(function* () {
      const once = yield* inProcess()(asking())
      const again = yield* inProcess()(
        Effect.gen(function* () {
          yield* ended(once.id, 1)
          return yield* asking("/tool asks_again")
        })
      )
      assert.deepStrictEqual(yield* settledOf(once.id), ["withdrawn"])
      yield* inProcess()(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          yield* eventually("it is asked again", () => true)
          assert.strictEqual(yield* refusal(answer(again.id, again.asked)), "QuestionAlreadySettled")
          let questions: ReadonlyArray<Question> = []
          while (questions.length === 0) questions = yield* manager.questions(again.id)
          const [fresh] = questions
          assert.isTrue(fresh !== undefined && fresh.questionId !== again.asked.questionId)
          if (fresh !== undefined) yield* answer(again.id, fresh)
          assert.deepStrictEqual(yield* heard(again.id), { action: "accept", content: { colour: "red" } })
          yield* ended(again.id, 1)
        })
      )
      assert.deepStrictEqual(yield* settledOf(again.id), ["withdrawn", "accept"])
      yield* lawful(again.id)
    }).pipe(durable)
  )

  it.effect("is cancelled for the server, and settled once, when the session's fiber crashes", () =>
    Effect.gen(function* () {
      const world = yield* SessionWorld
      const manager = yield* SessionManager
      const { id } = yield* asking()
      world.beforeAppend = Effect.suspend(() => {
        world.beforeAppend = Effect.yieldNow
        return Effect.die(new Error("poisoned"))
      })
      yield* Effect.ignore(manager.update(id, { title: "crash" }))
      assert.deepStrictEqual(yield* heard(id), { action: "cancel" })
      assert.deepStrictEqual(yield* settledOf(id), ["withdrawn"])
      yield* lawful(id)
    }).pipe(inProcess(), durable)
  )

  it.effect("is not asked where nobody is there, where no call is under way, and beyond what may wait", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const desk = yield* SessionDesk
      const ask = (sessionId: SessionId) => desk.ask({ sessionId, server: "paint", message: "?", schema: colour })
      const alone = yield* manager.start({ permissions: { mode: "unattended" } })
      yield* manager.send({ sessionId: alone.id, text: "/tool asks" })
      assert.deepStrictEqual(yield* heard(alone.id), { action: "decline" })
      const idle = yield* manager.start({})
      assert.deepStrictEqual(yield* ask(idle.id), { action: "decline" })
      const { id } = yield* asking()
      const others = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 20 }, () => ask(id)),
          { concurrency: 20 }
        )
      )
      yield* eventually("they are all there", () => true)
      while ((yield* manager.questions(id)).length < MAX_OPEN) yield* Effect.yieldNow
      yield* manager.cancelTurn(id)
      const actions = (yield* Fiber.join(others)).map(({ action }) => action)
      assert.strictEqual(actions.filter((action) => action === "decline").length, 20 - MAX_OPEN + 1)
      assert.strictEqual(yield* Effect.map(settledOf(id), ({ length }) => length), MAX_OPEN)
      yield* lawful(id)
    }).pipe(inProcess(), durable)
  )

  it.effect("is withdrawn when who asked wants no answer any more", () =>
    Effect.gen(function* () {
      const desk = yield* SessionDesk
      const { id } = yield* asking()
      const more = desk.ask({ sessionId: id, server: "paint", message: "and?", schema: colour })
      yield* Effect.timeoutOption(TestClock.withLive(Effect.timeoutOption(more, "50 millis")), "1 minute")
      const manager = yield* SessionManager
      while ((yield* manager.questions(id)).length > 1) yield* Effect.yieldNow
      assert.deepStrictEqual(yield* settledOf(id), ["withdrawn"])
      yield* manager.stop(id)
      yield* lawful(id)
    }).pipe(inProcess(), durable)
  )
})

describe("what is done for a server at a session's expense", () => {
  const answer = { model: "test/one", usage: { inputTokens: 30, outputTokens: 12, cost: 0.5 } }
  const spentBy = (id: SessionId) =>
    Effect.map(
      SessionManager.use(({ get }) => get(id)),
      ({ spent }) => spent
    )

  it.effect("counts there before it is given away, over restarts, and at the session above", () =>
    Effect.gen(function* () {
      const { above, below } = yield* inProcess()(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const desk = yield* SessionDesk
          const above = (yield* manager.start({})).id
          const below = (yield* manager.start({ parent: { sessionId: above } })).id
          const done = yield* desk.charge(
            { sessionId: below, server: "paint" },
            Effect.succeed({ answer, text: "a text" })
          )
          const counted = (yield* eventsOf(below)).filter(({ event }) => event._tag === "TextSampled").length
          assert.deepStrictEqual([done.text, counted], ["a text", 1])
          return { above, below }
        })
      )
      yield* inProcess()(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          assert.deepStrictEqual(yield* spentBy(below), { tokens: 42, cost: 0.5 })
          yield* manager.stop(below)
          yield* until(above, is("SubSessionEnded"))
          assert.deepStrictEqual(yield* spentBy(above), { tokens: 42, cost: 0.5 })
        })
      )
    }).pipe(durable)
  )

  it.effect("is not begun when the session, or the one above it, has used up its budget; nor what failed counted", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const desk = yield* SessionDesk
      let begun = 0
      const work = Effect.sync(() => {
        begun++
        return { answer }
      })
      const above = (yield* manager.start({ limits: { sessionTokens: 40 } })).id
      const below = (yield* manager.start({ parent: { sessionId: above } })).id
      const charge = { sessionId: below, server: "paint" }
      assert.strictEqual(yield* Effect.flip(desk.charge(charge, Effect.fail("no luck"))), "no luck")
      yield* desk.charge(charge, work)
      for (const sessionId of [below, above]) {
        assert.match(yield* Effect.flip(desk.charge({ ...charge, sessionId }, work)), /used 42 of its 40 tokens/)
      }
      yield* manager.stop(above)
      assert.match(yield* Effect.flip(desk.charge({ ...charge, sessionId: above }, work)), /has ended/)
      assert.strictEqual(begun, 1)
    }).pipe(inProcess(), durable)
  )
})

describe("a question for a sub-agent", () => {
  const model = scripted(({ prompt }) => {
    const said = JSON.stringify(prompt.content.find(({ role }) => role === "user"))
    const hasResult = prompt.content.at(-1)?.role === "tool"
    if (hasResult) return says(JSON.stringify(prompt.content.at(-1)).includes("green") ? "it is green" : "no colour")
    if (said.includes("deep")) return calls(["asks", {}])
    return calls(["delegate", { task: said.includes("go") ? "middle" : "deep" }])
  })

  const family = Effect.fnUntraced(function* () {
    const manager = yield* SessionManager
    const { asked, id } = yield* asking("go")
    const [middle] = yield* manager.list({ parent: id, limit: 10 })
    const [deep] = middle === undefined ? [] : yield* manager.list({ parent: middle.id, limit: 10 })
    if (middle === undefined || deep === undefined) return assert.fail("they are not there")
    return { asked, id, middle: middle.id, deep: deep.id }
  })

  it.effect("is asked at the root, and answered there", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const { asked, deep, id, middle } = yield* family()
      assert.deepStrictEqual(asked.path, [middle, deep])
      for (const each of [id, middle, deep]) {
        assert.strictEqual((yield* manager.get(each)).status, "awaiting_permission")
      }
      yield* answer(id, asked, { colour: "green" })
      assert.deepStrictEqual(yield* heard(deep), { action: "accept", content: { colour: "green" } })
      yield* ended(id, 1)
      for (const each of [id, middle, deep]) {
        yield* lawful(each)
        assert.deepStrictEqual(yield* settledOf(each), ["accept"])
      }
    }).pipe(inProcess({ model }), durable)
  )

  it.effect("that is answered at the sub-agent itself is settled at the root", () =>
    Effect.gen(function* () {
      const { asked, deep, id } = yield* family()
      yield* answer(deep, asked, {}, "decline")
      yield* ended(id, 1)
      assert.deepStrictEqual(yield* settledOf(id), ["decline"])
    }).pipe(inProcess({ model }), durable)
  )

  it.effect.each([0, 1, 2, 3, 5, 8, 13])("of two answers that are given at once one counts (%s)", (later) =>
    Effect.gen(function* () {
      const { asked, deep: sub, id, middle } = yield* family()
      const wait = Effect.forEach(Array.from({ length: later }), () => Effect.yieldNow, { discard: true })
      const told = yield* Effect.all(
        [
          Effect.result(answer(id, asked, {}, "decline")),
          Effect.result(Effect.andThen(wait, answer(sub, asked, { colour: "green" })))
        ],
        { concurrency: 2 }
      )
      const [isDeclined, isAnswered] = told.map(Result.isSuccess)
      assert.notStrictEqual(isDeclined, isAnswered, "one of them, and the other is told so")
      assert.deepStrictEqual(
        yield* heard(sub),
        isAnswered ? { action: "accept", content: { colour: "green" } } : { action: "decline" }
      )
      yield* ended(id, 1)
      for (const each of [id, middle, sub])
        assert.deepStrictEqual(yield* settledOf(each), [isAnswered ? "accept" : "decline"])
    }).pipe(inProcess({ model }), durable)
  )

  it.effect("is withdrawn everywhere when the root's turn is cancelled, and after a restart", () =>
    Effect.gen(function* () {
      const cancelled = yield* inProcess({ model })(
        Effect.gen(function* () {
          const all = yield* family()
          yield* SessionManager.use(({ cancelTurn }) => cancelTurn(all.id))
          return all
        })
      )
      const cut = yield* inProcess({ model })(family())
      yield* inProcess({ model })(ended(cut.id, 1))
      for (const { deep, id, middle } of [cancelled, cut]) {
        for (const each of [id, middle, deep]) {
          yield* lawful(each)
          assert.deepStrictEqual(yield* settledOf(each), ["withdrawn"])
        }
      }
    }).pipe(durable)
  )
})
