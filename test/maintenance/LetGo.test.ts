import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import { letGo } from "../../layers/maintenance/LetGo.ts"
import { appendOf as sessionAppendOf } from "../../layers/session/SessionStore.ts"
import { appendOf } from "../../layers/worker/WorkerRecords.ts"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { CallId, MessageId, SessionId } from "../../services/session/SessionId.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import { fold as foldWorker, type Worker } from "../../services/worker/Worker.ts"
import type { WorkerEvent } from "../../services/worker/WorkerEvent.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"

const day = 24 * 3_600_000
const now = 100 * day

const session = (name: string) => SessionId.make(`ses_${name}`)

/** A session that did this, each thing at its day. */
const lived = Effect.fnUntraced(function* (id: SessionId, ...events: ReadonlyArray<readonly [number, SessionEvent]>) {
  const journal = yield* Journal
  const begin: SessionEvent = { _tag: "SessionStarted", title: "", agentType: "default", metadata: {} }
  let state: SessionState | undefined
  for (const [at, event] of [[events[0]?.[0] ?? 0, begin] as const, ...events]) {
    yield* TestClock.setTime(at * day)
    const topic = Topic.ofSession(id)
    const planned = fold(state, { topic, sequence: (state?.sequence ?? 0) + 1, at: at * day, event })
    if (planned === undefined) return
    const recorded = yield* journal.append([sessionAppendOf(planned, state, [event])])
    state = recorded.reduce<SessionState | undefined>(fold, state)
  }
})

const worked = Effect.fnUntraced(function* (
  name: string,
  sessionId: SessionId,
  ...events: ReadonlyArray<readonly [number, WorkerEvent]>
) {
  const journal = yield* Journal
  const workerId = WorkerId.make(`wrk_${name}`)
  const queued: WorkerEvent = {
    _tag: "WorkerQueued",
    workerId,
    sessionId,
    callId: CallId.make(`call_${name}`),
    tool: "echo",
    args: null,
    idempotent: true,
    limits: { deadline: 1_000, hardCap: 1_000 }
  }
  let worker: Worker | undefined
  for (const [at, event] of [[events[0]?.[0] ?? 0, queued] as const, ...events]) {
    yield* TestClock.setTime(at * day)
    const { append } = appendOf(Topic.ofWorker(workerId), worker, [event], at * day)
    const recorded: ReadonlyArray<Recorded> = yield* journal.append([append])
    worker = recorded.reduce(foldWorker, worker)
  }
})

const message = (n: number): SessionEvent => ({
  _tag: "MessageReceived",
  messageId: MessageId.make(`msg_${n}`),
  text: `${n}`
})
const updated: SessionEvent = { _tag: "SessionUpdated", title: "older" }
const ended: SessionEvent = { _tag: "SessionEnded", reason: "done" }
const completed: WorkerEvent = { _tag: "WorkerCompleted", result: null }
const started: WorkerEvent = { _tag: "WorkerStarted", attempt: 1 }

const stored = Effect.gen(function* () {
  const journal = yield* Journal
  const heads = yield* Effect.forEach(["session:", "worker:"], (prefix) => journal.heads({ prefix, limit: 1_000 }))
  return heads.flat().map(({ stream }) => stream.replace(/^.*_/, ""))
})

const world = Effect.gen(function* () {
  yield* lived(session("idle"), [1, updated])
  yield* lived(session("waiting"), [1, message(1)])
  yield* lived(session("old"), [1, updated], [2, ended])
  yield* lived(session("new"), [1, updated], [99, ended])
  yield* lived(session("stuck"), [1, ended])
  yield* worked("1ofidle", session("idle"), [2, completed])
  yield* worked("2ofwaiting", session("waiting"), [3, completed])
  yield* worked("3ofold", session("old"), [4, completed])
  yield* worked("4running", session("idle"), [4, started])
  yield* worked("5late", session("idle"), [5, started], [98, completed])
  yield* worked("6ofstuck", session("stuck"), [6, started])
  yield* worked("7young", session("idle"), [99, completed])
  yield* TestClock.setTime(now)
})

describe("upkeep of the journal", () => {
  const test = (name: string, body: Effect.Effect<void, { readonly message: string }, Journal>) =>
    it.effect(name, () => Effect.provide(body, MemoryJournal.layer()))

  test(
    "lets go of nothing unless it is told to",
    Effect.gen(function* () {
      yield* world
      const before = yield* stored
      assert.deepStrictEqual(yield* letGo({}), { workers: 0, sessions: 0, events: 0 })
      assert.deepStrictEqual(yield* stored, before)
    })
  )

  test(
    "lets go of workers that ended long ago and that no session has business with, and of no others",
    Effect.gen(function* () {
      yield* world
      const before = yield* stored
      assert.deepStrictEqual(yield* letGo({ workers: "30 days" }), { workers: 2, sessions: 0, events: 0 })
      const gone = ["1ofidle", "3ofold"]
      assert.deepStrictEqual(
        yield* stored,
        before.filter((name) => !gone.includes(name))
      )
      assert.deepStrictEqual(yield* letGo({ workers: "30 days" }), { workers: 0, sessions: 0, events: 0 })
    })
  )

  test(
    "lets go of sessions that ended long ago with all their workers, unless one still runs",
    Effect.gen(function* () {
      yield* world
      const before = yield* stored
      assert.deepStrictEqual(yield* letGo({ sessions: "30 days" }), { workers: 1, sessions: 1, events: 0 })
      assert.deepStrictEqual(
        yield* stored,
        before.filter((name) => name !== "old" && name !== "3ofold")
      )
    })
  )

  test(
    "lets go of nothing that someone reads",
    Effect.gen(function* () {
      yield* world
      const journal = yield* Journal
      const before = yield* stored
      yield* Effect.scoped(
        Effect.gen(function* () {
          for (const { stream } of yield* journal.heads({ prefix: "", limit: 100 }))
            yield* journal.hold(stream, () => 1)
          const nothing = { workers: 0, sessions: 0, events: 0 }
          assert.deepStrictEqual(yield* letGo({ workers: 0, sessions: 0, sessionEvents: 0 }), nothing)
        })
      )
      assert.deepStrictEqual(yield* stored, before)
    })
  )

  test(
    "keeps the newest events of a session, and older ones that it needs",
    Effect.gen(function* () {
      const journal = yield* Journal
      const many = Array.from({ length: 3_000 }, () => [1, updated] as const)
      yield* lived(session("long"), ...many)
      yield* lived(session("asked"), [1, message(1)], ...many)
      yield* TestClock.setTime(now)
      const { events } = yield* letGo({ sessionEvents: 1_500 })
      assert.strictEqual(events, 1_502)
      const earliest = (name: string) =>
        Effect.map(journal.head(Topic.ofSession(session(name))), (head) => head?.earliest)
      assert.deepStrictEqual([yield* earliest("long"), yield* earliest("asked")], [1_502, 2])
    })
  )
})
