/** A start with 10,000 stored sessions: until it is ready, and until any of them answers, also a very long one. */
import { NodeServices } from "@effect/platform-node"
import { Effect, FileSystem, Layer } from "effect"
import { Embedded, SessionManager } from "espalier"
import { SessionId } from "espalier/services/session/SessionId"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { appendOf, load } from "../../layers/session/SessionStore.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { MessageId, TurnId } from "../../services/session/SessionId.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import type { Figure } from "../Figure.ts"
import { perOperation } from "../measure.ts"

const STORED = 10_000
const ids = Array.from({ length: STORED }, (_, index) => SessionId.make(`ses_stored_${index}`))

const milliseconds = Effect.sync(() => Number(process.hrtime.bigint()) / 1_000_000)

/** Turns of one message each: a hundred events in an append, as a busy session makes them. */
const turns = (from: number): readonly [SessionEvent, ...Array<SessionEvent>] => {
  const events = Array.from({ length: 25 }, (_, index): ReadonlyArray<SessionEvent> => {
    const turnId = TurnId.make(`turn_${from + index}`)
    const messageId = MessageId.make(`msg_${from + index}`)
    const answer = { turnId, messageId: MessageId.make(`msg_a${from + index}`), text: "y".repeat(200), partial: false }
    return [
      { _tag: "MessageReceived", messageId, text: "x".repeat(200) },
      { _tag: "TurnStarted", turnId, messageId },
      { _tag: "MessageSettled", ...answer },
      { _tag: "TurnEnded", turnId, outcome: "completed" }
    ]
  }).flat()
  return [events[0] ?? { _tag: "SessionUpdated" }, ...events.slice(1)]
}

/** Loads a session of 100,000 events from its file. */
const long = Effect.gen(function* () {
  const journal = yield* Journal
  const id = SessionId.make("ses_long")
  const begin: SessionEvent = { _tag: "SessionStarted", title: "", agentType: "default", metadata: {} }
  const write = Effect.fnUntraced(function* (
    before: SessionState | undefined,
    events: readonly [SessionEvent, ...Array<SessionEvent>]
  ) {
    const planned = events.reduce<SessionState | undefined>(
      (state, event) => fold(state, { topic: Topic.ofSession(id), sequence: (state?.sequence ?? 0) + 1, at: 0, event }),
      before
    )
    if (planned === undefined) return undefined
    return (yield* journal.append([appendOf(planned, before, events)])).reduce<SessionState | undefined>(fold, before)
  })
  let state = yield* write(undefined, [begin])
  // Some more, so that its snapshot is as old as one can be.
  for (let written = 0; written < 100_400; written += 100) state = yield* write(state, turns(written))
  const replay = load({ ...journal, snapshot: () => Effect.undefined }, id)
  return [yield* perOperation(1, load(journal, id)), yield* perOperation(1, replay, 2)] as const
})

export const suite = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const dataDirectory = yield* fs.makeTempDirectoryScoped()
  const runtime = Embedded.layer({ dataDirectory })
  yield* Effect.gen(function* () {
    const sessions = yield* SessionManager
    yield* Effect.forEach(ids, (sessionId) => sessions.start({ sessionId }), { concurrency: 500, discard: true })
  }).pipe(Effect.provide(runtime))

  const begun = yield* milliseconds
  const [ready, worst] = yield* Effect.gen(function* () {
    const sessions = yield* SessionManager
    const ready = (yield* milliseconds) - begun
    const answers: Array<number> = []
    for (let index = 0; index < STORED; index += 10) {
      const asked = yield* milliseconds
      yield* sessions.update(ids[(index * 7919) % STORED] ?? SessionId.make("ses_stored_0"), { title: "awake" })
      answers.push((yield* milliseconds) - asked)
    }
    return [ready, answers.toSorted((a, b) => a - b)[Math.floor(answers.length * 0.99)] ?? 0] as const
  }).pipe(Effect.provide(runtime, { local: true }))

  const [loaded, replayed] = yield* long.pipe(
    Effect.provide(
      SqlJournal.layer.pipe(
        Layer.provide(DataDirectory.layer(yield* fs.makeTempDirectoryScoped())),
        Layer.provide(RuntimeTree.layer),
        Layer.provide(FiberSupervisor.layer)
      )
    )
  )

  const figures: ReadonlyArray<Figure> = [
    { name: "ready with 10,000 stored sessions", unit: "ms", value: ready, bar: "<= 1,000 ms" },
    { name: "first answer of a stored session, p99", unit: "ms", value: worst, bar: "<= 10 ms" },
    {
      name: "load a session of 100,000 events",
      unit: "ms",
      value: loaded / 1_000,
      baseline: { name: "replay of all of them", value: replayed / 1_000 },
      bar: "<= 20 ms"
    }
  ]
  return figures
}).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
