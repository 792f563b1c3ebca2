import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import type { WhenBusy } from "../../services/session/SessionEvent.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { ended } from "../contracts/SessionManager.ts"
import { eventually } from "../support/eventually.ts"
import { calls, layer as scripted, type Part, says } from "../support/ScriptedModel.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { eventsOf, inProcess, is, layerDurable, SessionWorld, until } from "../support/SessionWorld.ts"

const durable = Effect.provide(layerDurable)

/** The first answer calls a tool, says a few words and never ends; from then on each is told what it was shown. */
const world = () => {
  const shown: Array<string> = []
  const model = scripted(({ prompt }, round) => {
    shown.push(JSON.stringify(prompt.content))
    if (round === 0) return calls(["echo", { text: "settled result" }])
    if (round === 1) {
      return Stream.concat(Stream.fromIterable<Part>(says("half an answer").slice(0, 2)), Stream.never)
    }
    return says(`answer ${round}`)
  })
  return { model, shown }
}

/** A session in the middle of its answer to "first". */
const busy = Effect.fnUntraced(function* (shown: ReadonlyArray<string>, whenBusy?: WhenBusy) {
  const manager = yield* SessionManager
  const { id } = yield* manager.start({ whenBusy })
  yield* manager.send({ sessionId: id, text: "first" })
  yield* eventually("it speaks", () => shown.length === 2)
  for (let i = 0; i < 50; i++) yield* Effect.yieldNow
  return id
})

const texts = (id: SessionId) =>
  Effect.map(eventsOf(id), (events) => {
    assertLaws(events.map(({ event }) => event))
    return events.flatMap(({ event }) =>
      event._tag === "TurnEnded"
        ? [event.outcome]
        : event._tag === "MessageSettled"
          ? [`${event.text}${event.partial ? "…" : ""}`]
          : event._tag === "TurnRolledBack"
            ? ["rolled back"]
            : []
    )
  })

describe("a message to a session that is busy", () => {
  it.effect("waits its turn by default", () => {
    const { model, shown } = world()
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const id = yield* busy(shown)
      yield* manager.send({ sessionId: id, text: "second" })
      assert.deepInclude(yield* manager.get(id), { status: "thinking", queued: 1 })
      yield* manager.cancelTurn(id)
      yield* ended(id, 2)
      assert.deepStrictEqual(yield* texts(id), ["half an answer…", "cancelled", "answer 2", "completed"])
    }).pipe(inProcess({ model }), durable)
  })

  it.effect("is refused where that was asked for, and changes nothing", () => {
    const { model, shown } = world()
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const id = yield* busy(shown, "reject")
      const before = (yield* eventsOf(id)).length
      assert.strictEqual((yield* Effect.flip(manager.send({ sessionId: id, text: "second" })))._tag, "SessionBusy")
      assert.strictEqual((yield* eventsOf(id)).length, before)
      yield* manager.send({ sessionId: id, text: "second", whenBusy: "enqueue" })
      yield* manager.cancelTurn(id)
      yield* ended(id, 2)
      yield* manager.send({ sessionId: id, text: "third" })
      yield* ended(id, 3)
    }).pipe(inProcess({ model }), durable)
  })

  it.effect("interrupts: what was settled and said is kept, and it comes before those that wait", () => {
    const { model, shown } = world()
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const id = yield* busy(shown)
      yield* manager.send({ sessionId: id, text: "second" })
      yield* manager.send({ sessionId: id, text: "third", whenBusy: "interrupt" })
      yield* ended(id, 3)
      assert.deepStrictEqual(yield* texts(id), [
        "half an answer…",
        "cancelled",
        "answer 2",
        "completed",
        "answer 3",
        "completed"
      ])
      for (const text of ["first", "settled result", "half an answer", "third"]) assert.include(shown[2], text)
      assert.notInclude(shown[2], "second")
      assert.include(shown[3], "second")
    }).pipe(inProcess({ model }), durable)
  })

  it.effect(
    "rolls back: the conversation goes on as if the running turn had never been, and the journal keeps it",
    () => {
      const { model, shown } = world()
      return Effect.gen(function* () {
        const manager = yield* SessionManager
        const id = yield* busy(shown)
        yield* manager.send({ sessionId: id, text: "second", whenBusy: "rollback" })
        yield* ended(id, 2)
        assert.deepStrictEqual(yield* texts(id), [
          "half an answer…",
          "rolled back",
          "cancelled",
          "answer 2",
          "completed"
        ])
        for (const text of ["first", "settled result", "half an answer"]) assert.notInclude(shown[2], text)
        assert.include(shown[2], "second")
      }).pipe(inProcess({ model }), durable)
    }
  )

  it.effect("takes the turn's place also when the process dies before that is done", () => {
    const { model, shown } = world()
    return Effect.gen(function* () {
      const durableWorld = yield* SessionWorld
      const id = yield* Effect.gen(function* () {
        const manager = yield* SessionManager
        const id = yield* busy(shown)
        // The message is journaled, and nothing after it.
        durableWorld.beforeAppend = Effect.sync(() => {
          durableWorld.beforeAppend = Effect.sync(() => {
            durableWorld.isStorageAway = true
          })
        })
        yield* manager.send({ sessionId: id, text: "second", whenBusy: "rollback" })
        return id
      }).pipe(inProcess({ model }))
      durableWorld.isStorageAway = false
      durableWorld.beforeAppend = Effect.yieldNow
      yield* Effect.gen(function* () {
        yield* until(id, is("TurnRolledBack"))
        yield* ended(id, 2)
      }).pipe(inProcess({ model: scripted(({ prompt }) => says(JSON.stringify(prompt.content))) }))
      const said = yield* texts(id)
      assert.deepStrictEqual(said.slice(0, 2), ["rolled back", "cancelled"])
      assert.notInclude(said[2], "first")
      assert.include(said[2], "second")
    }).pipe(durable)
  })

  it.effect("is answered once, and one turn runs at a time, however many interrupt one another", () => {
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({})
      yield* Effect.forEach(
        Array.from({ length: 60 }, (_, n) => n),
        (n) =>
          manager.send({
            sessionId: id,
            text: `${n}`,
            whenBusy: (["interrupt", "rollback", "enqueue"] as const)[n % 3]
          }),
        { concurrency: 5, discard: true }
      )
      yield* ended(id, 60)
      const events: ReadonlyArray<RuntimeEvent> = (yield* eventsOf(id)).map(({ event }) => event)
      assertLaws(events)
      assert.deepInclude(yield* manager.get(id), { status: "idle", queued: 0 })
    }).pipe(inProcess(), durable)
  })
})
