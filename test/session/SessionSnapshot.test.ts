import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import { appendOf, load } from "../../layers/session/SessionStore.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { CallId, MessageId, SessionId, TurnId } from "../../services/session/SessionId.ts"
import * as SessionSnapshot from "../../services/session/SessionSnapshot.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"

const id = SessionId.make("ses_long")
const stream = Topic.ofSession(id)

/** Events with ids from a small set, so that they meet. Whether they make sense does not matter to a fold. */
const Step = Schema.Struct({
  kind: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8 })),
  n: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 })),
  text: Schema.String
})

const eventOf = ({ kind, n, text }: typeof Step.Type, index: number): SessionEvent => {
  const turnId = TurnId.make(`turn_${n}`)
  const callId = CallId.make(`call_${n}`)
  switch (kind) {
    case 0:
      return { _tag: "SessionUpdated", title: text }
    case 1:
      return { _tag: "SessionUpdated", metadata: { [text]: text, n: `${n}` } }
    case 2:
      return { _tag: "TurnStarted", turnId, messageId: MessageId.make(`msg_${index - n}`) }
    case 3:
      return { _tag: "ToolCallRequested", callId, tool: text, args: { text } }
    case 4:
      return { _tag: "ToolCallRequested", callId, turnId, workerId: WorkerId.make(`wrk_${n}`), tool: text, args: null }
    case 5:
      return { _tag: "ToolCallSettled", callId, outcome: { _tag: "ToolCancelled" } }
    case 6:
      return { _tag: "MessageSettled", turnId, messageId: MessageId.make(`msg_a${index}`), text, partial: false }
    case 7:
      return { _tag: "TurnEnded", turnId, outcome: "completed" }
    default:
      return { _tag: "MessageReceived", messageId: MessageId.make(`msg_${index}`), text }
  }
}

const started: SessionEvent = { _tag: "SessionStarted", title: "", agentType: "default", metadata: {} }

const message = (n: number): SessionEvent => {
  const turnId = TurnId.make("turn_1")
  return n % 4 === 3
    ? { _tag: "TurnEnded", turnId, outcome: "completed" }
    : { _tag: "MessageSettled", turnId, messageId: MessageId.make(`msg_${n}`), text: `${n}`, partial: false }
}

const foldAll = (journal: Journal["Service"]) =>
  Effect.gen(function* () {
    let state: SessionState | undefined
    while (true) {
      const page = yield* journal.read({ stream, after: state?.sequence ?? 0 })
      if (page.length === 0) return state
      for (const recorded of page) state = fold(state, recorded)
    }
  })

/** Appends as a session does, so many events at a time, from what the journal says. */
const grow = Effect.fnUntraced(function* (events: ReadonlyArray<SessionEvent>, batch: number) {
  const journal = yield* Journal
  let state = yield* load(journal, id)
  for (let index = 0; index < events.length; index += batch) {
    const [first, ...rest] = events.slice(index, index + batch)
    if (first === undefined) break
    const planned = [first, ...rest].reduce<SessionState | undefined>(
      // Its own stamps are wrong on purpose: only the journal's count.
      (state, event) => fold(state, { topic: stream, sequence: (state?.sequence ?? 0) + 1, at: -1, event }),
      state
    )
    if (planned === undefined) break
    const recorded = yield* journal.append([appendOf(planned, state, [first, ...rest])])
    state = recorded.reduce<SessionState | undefined>(fold, state)
  }
  return state
})

const journal = MemoryJournal.layer()

describe("a session's snapshot", () => {
  it.effect.prop(
    "and what came after it make the same state as all events from the beginning",
    [Schema.Array(Step).check(Schema.isMaxLength(60)), Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))],
    ([steps, cut]) =>
      Effect.sync(() => {
        const events = [started, ...steps.map(eventOf)]
        let state: SessionState | undefined
        let resumed: SessionState | undefined
        events.forEach((event, index) => {
          const recorded = { topic: stream, sequence: index + 1, at: index * 10, event }
          state = fold(state, recorded)
          resumed = fold(resumed, recorded)
          if (index !== cut || state === undefined) return
          resumed = SessionSnapshot.restore({ ...SessionSnapshot.take(state), sequence: state.sequence })
        })
        assert.deepStrictEqual(resumed, state)
      }),
    { arbitrary: { runs: 500 } }
  )

  it.effect.prop(
    "is what the session is loaded from, whatever sizes it was written in and however much was let go of",
    [
      Schema.Array(Step).check(Schema.isMinLength(20), Schema.isMaxLength(40)),
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 700 })),
      Schema.Boolean
    ],
    ([steps, batch, isCompacted]) =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const events = Array.from({ length: 100 }, () => steps)
          .flat()
          .map(eventOf)
        const live = yield* grow([started, ...events], batch)
        const whole = yield* foldAll(journal)
        if (isCompacted) yield* journal.compact({ stream, before: Infinity })
        assert.isDefined(yield* journal.snapshot(stream))
        assert.deepStrictEqual(yield* load(journal, id), whole)
        assert.deepStrictEqual(live, whole)
      }).pipe(Effect.provide(journal, { local: true })),
    { arbitrary: { runs: 20 } }
  )

  it.effect("makes a session of 100,000 events cost a few hundred to load", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* grow([started, ...Array.from({ length: 100_000 }, (_, n) => message(n))], 7)
      let read = 0
      const counting: Journal["Service"] = {
        ...journal,
        read: (options) => Effect.tap(journal.read(options), (page) => Effect.sync(() => (read += page.length)))
      }
      assert.deepInclude(yield* load(counting, id), { sequence: 100_001 })
      assert.isAtMost(read, SessionSnapshot.EVERY + 7)
    }).pipe(Effect.provide(journal))
  )

  it.effect("of another version, or not to be read, is passed over: the events count", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const whole = yield* grow([started, ...Array.from({ length: 2_000 }, (_, n) => message(n))], 10)
      const snapshot = yield* journal.snapshot(stream)
      if (snapshot === undefined) return assert.fail("there is a snapshot")
      const wrong = [
        { ...snapshot, version: SessionSnapshot.VERSION + 1 },
        { ...snapshot, state: "{" },
        { ...snapshot, state: "{}" },
        { ...snapshot, sequence: snapshot.sequence - 1 }
      ]
      for (const one of wrong) {
        const other = { ...journal, snapshot: () => Effect.succeed(one) }
        assert.deepStrictEqual(yield* load(other, id), whole)
      }
      yield* journal.compact({ stream, before: Infinity })
      assert.deepStrictEqual(yield* load(journal, id), whole)
      const damage = yield* Effect.flip(load({ ...journal, snapshot: () => Effect.succeed(wrong[0]) }, id))
      assert.strictEqual(damage._tag, "StorageCorrupt")
      assert.include(damage.message, "its snapshot is not one that this version can read")
    }).pipe(Effect.provide(journal))
  )

  it.effect("keeps what the session still waits for, works on and shows to its model", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const asked: SessionEvent = { _tag: "MessageReceived", messageId: MessageId.make("msg_asked"), text: "answer me" }
      yield* grow([started, ...Array.from({ length: 700 }, (_, n) => message(n)), asked], 10)
      yield* grow(
        Array.from({ length: 4_000 }, (_, n) => message(n)),
        10
      )
      const earliest = yield* journal.compact({ stream, before: Infinity })
      const state = yield* load(journal, id)
      const sequence = state?.waiting[0]?.sequence ?? 0
      assert.isAbove(earliest, 1)
      assert.isAtMost(earliest, sequence)
      const [event] = yield* journal.read({ stream, after: sequence - 1, limit: 1 })
      assert.deepInclude(event, { sequence, event: asked })
    }).pipe(Effect.provide(journal))
  )
})
