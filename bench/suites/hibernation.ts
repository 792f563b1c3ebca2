/**
 * 10,000 sessions with 20 messages each, in a file: what one costs in memory while it is idle, what is left of it while
 * it hibernates, and how long its next message takes to wake it.
 */
import { NodeServices } from "@effect/platform-node"
import { Effect, FileSystem } from "effect"
import { Embedded, Registry, SessionManager } from "espalier"
import { SessionId } from "espalier/services/session/SessionId"
import { appendOf } from "../../layers/session/SessionStore.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { MessageId, TurnId } from "../../services/session/SessionId.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import type { Figure } from "../Figure.ts"
import { heap } from "../measure.ts"

const CROWD = 10_000
const WAKES = 1_000
const ids = Array.from({ length: CROWD }, (_, index) => SessionId.make(`ses_${String(index).padStart(40, "0")}`))

/** Ten messages with their answers. */
const history = (): readonly [SessionEvent, ...Array<SessionEvent>] => [
  { _tag: "SessionStarted", title: "a session", agentType: "default", metadata: {} },
  ...Array.from({ length: 10 }, (_, n): ReadonlyArray<SessionEvent> => {
    const turnId = TurnId.make(`turn_${n}`)
    const messageId = MessageId.make(`msg_${n}`)
    return [
      { _tag: "MessageReceived", messageId, text: "x".repeat(200) },
      { _tag: "TurnStarted", turnId, messageId },
      { _tag: "MessageSettled", turnId, messageId: MessageId.make(`msg_a${n}`), text: "y".repeat(400), partial: false },
      { _tag: "TurnEnded", turnId, outcome: "completed" }
    ]
  }).flat()
]

const store = Effect.gen(function* () {
  const journal = yield* Journal
  for (let from = 0; from < CROWD; from += 100) {
    const appends = ids.slice(from, from + 100).flatMap((id) => {
      const events = history()
      const state = events.reduce<SessionState | undefined>(
        (state, event, index) => fold(state, { topic: Topic.ofSession(id), sequence: index + 1, at: 0, event }),
        undefined
      )
      return state === undefined ? [] : [appendOf(state, undefined, events)]
    })
    yield* journal.append(appends)
  }
})

const percentile = (times: ReadonlyArray<number>, share: number): number =>
  times.toSorted((one, other) => one - other)[Math.floor(times.length * share)] ?? Number.NaN

const wake = Effect.fnUntraced(function* (id: SessionId) {
  const sessions = yield* SessionManager
  const before = performance.now()
  yield* sessions.send({ sessionId: id, text: "good morning" })
  return performance.now() - before
})

const measure = Effect.gen(function* () {
  const sessions = yield* SessionManager
  const registry = yield* Registry
  yield* store
  const before = yield* heap
  yield* Effect.forEach(ids, (id) => sessions.update(id, {}), { concurrency: 100, discard: true })
  const live = ((yield* heap) - before) / CROWD
  const isAsleep = Effect.map(
    registry.lookup({ session: ids[CROWD - 1] as SessionId, role: "main", index: 0 }),
    (agent) => agent.status === "hibernated"
  )
  while (!(yield* isAsleep)) yield* Effect.sleep("200 millis")
  yield* Effect.sleep("1 second")
  const asleep = ((yield* heap) - before) / CROWD
  const times = yield* Effect.forEach(ids.slice(0, WAKES), wake)
  return { asleep, live, times }
})

export const suite = Effect.gen(function* () {
  const dataDirectory = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  const { asleep, live, times } = yield* Effect.provide(
    measure,
    Embedded.layer({ dataDirectory, hibernateAfter: "15 seconds" })
  )
  const figures: ReadonlyArray<Figure> = [
    { name: "an idle session with 20 messages, of 10,000", unit: "KB", value: live / 1024, bar: "<= 6 KB" },
    { name: "the same, hibernated", unit: "KB", value: asleep / 1024, bar: "<= 0.6 KB" },
    { name: "a message that wakes it, acknowledged: median", unit: "ms", value: percentile(times, 0.5) },
    { name: "the same: 99 of 100", unit: "ms", value: percentile(times, 0.99), bar: "<= 50 ms" }
  ]
  return figures
}).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
