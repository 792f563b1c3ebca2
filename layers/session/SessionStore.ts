/** Sessions as the journal keeps them: loaded by folding their events, listed by their heads. */
import { Effect, Option, Schema } from "effect"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { Append, Journal, StreamHead } from "../../services/journal/Journal.ts"
import { StorageCorrupt, type StorageError } from "../../services/journal/StorageError.ts"
import { type Session, SessionSummary } from "../../services/session/Session.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { fold, isOpen, type SessionState, toSummary } from "../../services/session/SessionState.ts"

export type JournalService = Journal["Service"]

/** Events read at a time: a long session is folded page by page and never held as a whole. */
const PAGE = 1_000

/** The state of a stored session; `undefined` if there is none. */
export const load = Effect.fnUntraced(function* (
  journal: JournalService,
  id: SessionId
): Effect.fn.Return<SessionState | undefined, StorageError> {
  const stream = Topic.ofSession(id)
  let state: SessionState | undefined
  let after = 0
  while (true) {
    const page = yield* journal.read({ stream, after, limit: PAGE })
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
  const found = yield* journal.read({ stream: Topic.ofSession(id), after: sequence - 1, limit: 1 })
  return found[0]
})

/** The append that makes `state` (the events folded in) of what `after` was the last event of. */
export const appendOf = (
  state: SessionState,
  after: number,
  events: readonly [SessionEvent, ...Array<SessionEvent>]
): Append => ({
  stream: Topic.ofSession(state.id),
  after,
  events,
  open: isOpen(state),
  summary: JSON.stringify(toSummary(state))
})

const decodeSummary = Schema.decodeUnknownOption(Schema.fromJsonString(SessionSummary))

/** What the head of a session's stream says of it. */
export const summaryOf = ({ stream, summary }: StreamHead): Effect.Effect<SessionSummary, StorageCorrupt> =>
  Option.match(decodeSummary(summary), {
    onNone: () => Effect.fail(new StorageCorrupt({ detail: `the summary of ${stream} cannot be read` })),
    onSome: Effect.succeed
  })

/** A session without unfinished business: its head tells all there is to know. */
export const dormant = (head: StreamHead): Effect.Effect<Session, StorageCorrupt> =>
  Effect.map(summaryOf(head), (summary) => ({ ...summary, queued: 0, workers: [], sequence: head.sequence }))
