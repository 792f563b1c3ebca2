/**
 * Sessions as the journal keeps them: loaded by folding their events, from the newest snapshot on if there is one, and
 * listed by their heads.
 */
import { Effect, Option, Schema } from "effect"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { Append, Journal, StreamHead } from "../../services/journal/Journal.ts"
import { StorageCorrupt, type StorageError } from "../../services/journal/StorageError.ts"
import { type Session, SessionSummary } from "../../services/session/Session.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import * as SessionSnapshot from "../../services/session/SessionSnapshot.ts"
import { fold, isOpen, type SessionState, toSummary } from "../../services/session/SessionState.ts"

export type JournalService = Journal["Service"]

/** Events read at a time: a long session is folded page by page and never held as a whole. */
const PAGE = 1_000

/** The state of a stored session; `undefined` if there is none. Without a snapshot it can read, all events are folded. */
export const load = Effect.fnUntraced(function* (
  journal: JournalService,
  id: SessionId
): Effect.fn.Return<SessionState | undefined, StorageError> {
  const stream = Topic.ofSession(id)
  const snapshot = yield* journal.snapshot(stream)
  let state = snapshot === undefined ? undefined : SessionSnapshot.restore(snapshot)
  let after = state?.sequence ?? 0
  while (true) {
    const page = yield* journal.read({ stream, after, limit: PAGE })
    const first = page[0]
    if (first !== undefined && first.sequence > after + 1) {
      const detail = `${stream} begins at ${first.sequence}, and its snapshot is not one that this version can read`
      return yield* new StorageCorrupt({ detail })
    }
    for (const recorded of page) state = fold(state, recorded)
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return state
    after = last.sequence
  }
})

/** One event, known by its place. */
export const eventAt = Effect.fnUntraced(function* (
  journal: JournalService,
  id: SessionId,
  sequence: number
): Effect.fn.Return<Recorded | undefined, StorageError> {
  const [found] = yield* journal.read({ stream: Topic.ofSession(id), after: sequence - 1, limit: 1 })
  return found?.sequence === sequence ? found : undefined
})

/** The append that makes `state` of `before`, the state that the journal holds (`undefined` for a new session). */
export const appendOf = (
  state: SessionState,
  before: SessionState | undefined,
  events: readonly [SessionEvent, ...Array<SessionEvent>]
): Append => {
  const after = before?.sequence ?? 0
  return {
    stream: Topic.ofSession(state.id),
    after,
    events,
    open: isOpen(state),
    summary: JSON.stringify(toSummary(state)),
    // Of what is durable: the journal's own stamps are in it, as in every state that is folded from the log.
    ...(before !== undefined && SessionSnapshot.isDue(after, events.length)
      ? { snapshot: SessionSnapshot.take(before) }
      : undefined)
  }
}

const decodeSummary = Schema.decodeUnknownOption(Schema.fromJsonString(SessionSummary))

/** What the head of a session's stream says of it. */
export const summaryOf = ({ stream, summary }: StreamHead): Effect.Effect<SessionSummary, StorageCorrupt> =>
  Option.match(decodeSummary(summary), {
    onNone: () => Effect.fail(new StorageCorrupt({ detail: `the summary of ${stream} cannot be read` })),
    onSome: Effect.succeed
  })

/** A session without unfinished business: its head tells all there is to know. */
export const dormant = (head: StreamHead): Effect.Effect<Session, StorageCorrupt> =>
  Effect.map(summaryOf(head), (summary) => ({
    ...summary,
    queued: 0,
    permissions: [],
    questions: [],
    workers: [],
    subSessions: [],
    sequence: head.sequence
  }))
