/**
 * A session's state as the journal keeps it now and then, so that a long session is loaded by its last few hundred
 * events. Nothing hangs on it alone: a snapshot of another version, or one that cannot be read, is passed over and the
 * events are folded from the beginning. Whoever changes `SessionState` or its fold raises `VERSION`.
 */
import { Option, Schema } from "effect"
import type { Snapshot, SnapshotState } from "../journal/Journal.ts"
import { PermissionState } from "../permission/PermissionState.ts"
import * as QuestionState from "../question/QuestionState.ts"
import { WorkerId } from "../worker/WorkerId.ts"
import { WINDOW } from "./Conversation.ts"
import { Limits, Spending } from "./Budget.ts"
import { SessionMetadata, WhenBusy } from "./SessionEvent.ts"
import { CallId, MessageId, SessionId, TurnId } from "./SessionId.ts"
import type { Session } from "./Session.ts"
import { Parent } from "./Parent.ts"
import { LiveSub } from "./SubSession.ts"
import { type SessionState, toSession } from "./SessionState.ts"

export const VERSION = 3

/** One of before sessions could be told which MCP servers they see, and so saw all of them: as this version reads it. */
const READABLE = [2, VERSION]

/** Events between two snapshots: few enough to fold in a blink, and enough to make the writing of them cheap. */
export const EVERY = 500

const Stored = Schema.fromJsonString(
  Schema.Struct({
    id: SessionId,
    title: Schema.String,
    agentType: Schema.String,
    metadata: SessionMetadata,
    owner: Schema.String,
    whenBusy: WhenBusy,
    limits: Schema.optionalKey(Limits),
    spent: Spending,
    directory: Schema.optionalKey(Schema.String),
    mcpServers: Schema.optionalKey(Schema.Array(Schema.String)),
    summary: Schema.optionalKey(Schema.Int),
    parent: Schema.optionalKey(Parent),
    subs: Schema.Array(LiveSub),
    nextSub: Schema.Int,
    isEnded: Schema.Boolean,
    messages: Schema.Int,
    createdAt: Schema.Int,
    updatedAt: Schema.Int,
    waiting: Schema.Array(Schema.Struct({ id: MessageId, sequence: Schema.Int })),
    turn: Schema.optionalKey(
      Schema.Struct({
        id: TurnId,
        messageId: MessageId,
        message: Schema.Int,
        steps: Schema.Int,
        startedAt: Schema.Int,
        spent: Spending,
        superseded: Schema.optionalKey(Schema.Literals(["interrupt", "rollback"]))
      })
    ),
    calls: Schema.Array(
      Schema.Struct({
        callId: CallId,
        turnId: Schema.optionalKey(TurnId),
        workerId: Schema.optionalKey(WorkerId),
        child: Schema.optionalKey(SessionId),
        tool: Schema.String,
        sequence: Schema.Int
      })
    ),
    permission: PermissionState,
    /** Absent from those that were taken before there were any. */
    questions: Schema.optionalKey(QuestionState.QuestionState),
    recent: Schema.Struct({ fingerprints: Schema.Array(Schema.Int), sequences: Schema.Array(Schema.Int) }),
    sequence: Schema.Int
  })
)

const decode = Schema.decodeUnknownOption(Stored)

/** Whether to take one with the append of `events` events to `after`: the writer need not remember when it last did. */
export const isDue = (after: number, events: number): boolean =>
  Math.floor((after + events) / EVERY) > Math.floor(after / EVERY)

/** The oldest event that the session may look at again: what it waits for, works on, or shows to a model. */
const neededFrom = ({ calls, permission, questions, sequence, summary, turn, waiting }: SessionState): number =>
  Math.max(
    1,
    Math.min(
      sequence - WINDOW + 1,
      turn?.message ?? sequence,
      summary ?? sequence,
      ...waiting.map(({ sequence }) => sequence),
      ...calls.map(({ sequence }) => sequence),
      ...permission.pending.map(({ sequence }) => sequence),
      ...questions.pending.map(({ sequence }) => sequence)
    )
  )

export const take = (state: SessionState): SnapshotState => ({
  version: VERSION,
  // Keys that are undefined are left out by this.
  state: JSON.stringify(state),
  needs: neededFrom(state)
})

/** The state, if the snapshot is one that this version can read. */
export const restore = ({ sequence, state, version }: Snapshot): SessionState | undefined => {
  const stored = READABLE.includes(version) ? Option.getOrUndefined(decode(state)) : undefined
  if (stored?.sequence !== sequence) return undefined
  return {
    ...stored,
    limits: stored.limits,
    directory: stored.directory,
    mcpServers: stored.mcpServers,
    summary: stored.summary,
    parent: stored.parent,
    turn: stored.turn,
    questions: stored.questions ?? QuestionState.initial,
    calls: stored.calls.map(({ turnId, workerId, ...call }) => ({ ...call, turnId, workerId }))
  }
}

/** What a snapshot says of the session to those who look at it from outside. */
export const view = (snapshot: Snapshot): Session | undefined => {
  const state = restore(snapshot)
  return state === undefined ? undefined : toSession(state)
}
