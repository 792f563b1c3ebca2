/**
 * A session's state: a fold over its events and nothing else. It is what every live session holds in memory, so it
 * has only what decisions need; texts, arguments and results stay in the journal, found by their sequence.
 */
import type { Recorded } from "../events/RuntimeEvent.ts"
import { LOCAL } from "../access/Person.ts"
import * as PermissionState from "../permission/PermissionState.ts"
import * as QuestionState from "../question/QuestionState.ts"
import * as Budget from "./Budget.ts"
import type { Limits, Spending } from "./Budget.ts"
import type { WorkerId } from "../worker/WorkerId.ts"
import * as RecentMessages from "./RecentMessages.ts"
import type { Session, SessionStatus, SessionSummary } from "./Session.ts"
import { type SessionMetadata, spentWith, type WhenBusy } from "./SessionEvent.ts"
import { type CallId, type MessageId, SessionId, type TurnId } from "./SessionId.ts"
import type { Parent } from "./Parent.ts"
import type { SeenServers } from "../mcp/seenServers.ts"
import type { LiveSub } from "./SubSession.ts"

/** An accepted message that waits for its turn. Its text is in the journal at `sequence`. */
export interface WaitingMessage {
  readonly id: MessageId
  readonly sequence: number
}

export interface CurrentTurn {
  readonly id: TurnId
  readonly messageId: MessageId
  /** Sequence of the message it answers. */
  readonly message: number
  /** Rounds of tool calls so far: calls asked for together are one. */
  readonly steps: number
  readonly startedAt: number
  /** What its answers took, and those of its sub-agents that have ended. */
  readonly spent: Spending
  /** A message came that does not wait for its end. */
  readonly superseded?: "interrupt" | "rollback" | undefined
}

/** A call that was journaled and has no outcome yet. Its arguments are in the journal at `sequence`. */
export interface UnsettledCall {
  readonly callId: CallId
  readonly turnId: TurnId | undefined
  readonly workerId: WorkerId | undefined
  /** The sub-session that is its outcome. */
  readonly child?: SessionId | undefined
  readonly tool: string
  readonly sequence: number
}

export interface SessionState {
  readonly id: SessionId
  readonly title: string
  readonly agentType: string
  readonly metadata: SessionMetadata
  /** Whose it is, and who may answer for it. */
  readonly owner: string
  /** For messages that do not say it themselves. */
  readonly whenBusy: WhenBusy
  /** Its own, besides those of the server. */
  readonly limits: Limits | undefined
  /** What its turns took, and its sub-agents that have ended. */
  readonly spent: Spending
  readonly directory: string | undefined
  readonly mcpServers: SeenServers
  /** Where the newest summary of the conversation stands. */
  readonly summary: number | undefined
  /** Of a sub-session. */
  readonly parent: Parent | undefined
  /** Those that have not ended. */
  readonly subs: ReadonlyArray<LiveSub>
  /** The number of the next one. */
  readonly nextSub: number
  readonly isEnded: boolean
  /** The user's and the assistant's. */
  readonly messages: number
  readonly createdAt: number
  readonly updatedAt: number
  readonly waiting: ReadonlyArray<WaitingMessage>
  readonly turn: CurrentTurn | undefined
  readonly calls: ReadonlyArray<UnsettledCall>
  readonly permission: PermissionState.PermissionState
  readonly questions: QuestionState.QuestionState
  readonly recent: RecentMessages.RecentMessages
  /** Of the newest event. */
  readonly sequence: number
}

const none: ReadonlyArray<never> = []

const without = <A>(values: ReadonlyArray<A>, isGone: (value: A) => boolean): ReadonlyArray<A> => {
  if (!values.some(isGone)) return values
  const rest = values.filter((value) => !isGone(value))
  return rest.length === 0 ? none : rest
}

const spend = (state: SessionState, spending: Spending): SessionState => {
  if (spending.tokens === 0 && spending.cost === 0) return state
  const { spent, turn } = state
  return {
    ...state,
    spent: Budget.add(spent, spending),
    turn: turn === undefined ? undefined : { ...turn, spent: Budget.add(turn.spent, spending) }
  }
}

const sessionOf = ({ topic }: Recorded): SessionId => SessionId.make(topic.slice("session:".length))

/** Adds the next event of the session's stream. The first must be `SessionStarted`; nothing follows `SessionEnded`. */
export const fold = (state: SessionState | undefined, recorded: Recorded): SessionState | undefined => {
  const { at, event, sequence } = recorded
  if (state === undefined) {
    if (event._tag !== "SessionStarted") return undefined
    return {
      id: sessionOf(recorded),
      title: event.title,
      agentType: event.agentType,
      metadata: event.metadata,
      owner: event.owner ?? LOCAL,
      whenBusy: event.whenBusy ?? "enqueue",
      limits: event.limits,
      spent: Budget.nothing,
      directory: event.directory,
      mcpServers: event.mcpServers,
      summary: undefined,
      parent: event.parent,
      subs: none,
      nextSub: 0,
      isEnded: false,
      messages: 0,
      createdAt: at,
      updatedAt: at,
      waiting: none,
      turn: undefined,
      calls: none,
      permission: PermissionState.fold(PermissionState.initial, event, sequence),
      questions: QuestionState.initial,
      recent: RecentMessages.empty,
      sequence
    }
  }
  switch (event._tag) {
    case "SessionUpdated":
      return {
        ...state,
        title: event.title ?? state.title,
        metadata: event.metadata ?? state.metadata,
        updatedAt: at,
        sequence
      }
    case "MessageReceived": {
      const { supersedes } = event
      const { turn, waiting } = state
      const message = { id: event.messageId, sequence }
      return {
        ...state,
        messages: state.messages + 1,
        waiting: supersedes === undefined ? [...waiting, message] : [message, ...waiting],
        turn:
          turn === undefined || supersedes === undefined || turn.superseded === "rollback"
            ? turn
            : { ...turn, superseded: supersedes },
        recent: RecentMessages.remember(state.recent, event.messageId, sequence),
        updatedAt: at,
        sequence
      }
    }
    case "TurnStarted":
      return {
        ...state,
        turn: {
          id: event.turnId,
          messageId: event.messageId,
          message: state.waiting.find(({ id }) => id === event.messageId)?.sequence ?? sequence,
          steps: 0,
          startedAt: at,
          spent: Budget.nothing
        },
        waiting: without(state.waiting, ({ id }) => id === event.messageId),
        updatedAt: at,
        sequence
      }
    case "ToolCallRequested": {
      const spending = spend(state, spentWith(event))
      const { turn } = spending
      // The calls of one round are journaled together, so a round begins where none of the turn's is unsettled.
      const isRound =
        turn !== undefined && turn.id === event.turnId && !state.calls.some(({ turnId }) => turnId === turn.id)
      return {
        ...spending,
        turn: isRound ? { ...turn, steps: turn.steps + 1 } : turn,
        calls: [
          ...state.calls,
          { callId: event.callId, turnId: event.turnId, workerId: event.workerId, tool: event.tool, sequence }
        ],
        updatedAt: at,
        sequence
      }
    }
    case "ContextCompacted":
      return {
        ...spend(state, spentWith(event)),
        summary: event.summary === undefined ? state.summary : sequence,
        updatedAt: at,
        sequence
      }
    case "SubSessionStarted": {
      const { callId, index } = event
      const started = { sessionId: event.sessionId, index, ...(callId === undefined ? undefined : { callId }) }
      return {
        ...state,
        subs: [...state.subs, started],
        nextSub: Math.max(state.nextSub, index + 1),
        calls:
          callId === undefined
            ? state.calls
            : state.calls.map((call) => (call.callId === callId ? { ...call, child: event.sessionId } : call)),
        updatedAt: at,
        sequence
      }
    }
    case "SubSessionEnded":
      return {
        ...spend(state, event.spent),
        subs: without(state.subs, ({ sessionId }) => sessionId === event.sessionId),
        updatedAt: at,
        sequence
      }
    case "ToolCallQueued":
      return {
        ...state,
        calls: state.calls.map((call) => (call.callId === event.callId ? { ...call, workerId: event.workerId } : call)),
        updatedAt: at,
        sequence
      }
    case "PermissionRequested":
    case "PermissionResolved":
      return { ...state, permission: PermissionState.fold(state.permission, event, sequence), updatedAt: at, sequence }
    case "QuestionAsked":
    case "QuestionSettled":
      return { ...state, questions: QuestionState.fold(state.questions, event, sequence), updatedAt: at, sequence }
    case "TextSampled":
      return { ...spend(state, spentWith(event)), updatedAt: at, sequence }
    case "ToolCallSettled":
      return {
        ...state,
        calls: without(state.calls, ({ callId }) => callId === event.callId),
        updatedAt: at,
        sequence
      }
    case "MessageSettled":
      return { ...spend(state, spentWith(event)), messages: state.messages + 1, updatedAt: at, sequence }
    case "TurnEnded":
      return {
        ...spend(state, spentWith(event)),
        turn: undefined,
        calls: without(state.calls, ({ turnId }) => turnId === event.turnId),
        updatedAt: at,
        sequence
      }
    case "SessionEnded":
      return {
        ...state,
        isEnded: true,
        waiting: none,
        turn: undefined,
        calls: none,
        subs: none,
        permission: PermissionState.fold(state.permission, event, sequence),
        questions: QuestionState.fold(state.questions, event, sequence),
        updatedAt: at,
        sequence
      }
    default:
      return { ...state, sequence }
  }
}

/** Something is left to do that recovery must take up. */
export const isOpen = (state: SessionState): boolean =>
  !state.isEnded &&
  (state.turn !== undefined ||
    state.waiting.length > 0 ||
    state.calls.length > 0 ||
    state.subs.length > 0 ||
    // Its time is kept wherever it is.
    state.parent !== undefined)

export const statusOf = (state: SessionState): SessionStatus => {
  if (state.isEnded) return "ended"
  if (state.permission.pending.length + state.questions.pending.length > 0) return "awaiting_permission"
  // A message that waits without a turn is about to have one: a session that has just been loaded takes it up.
  return state.turn === undefined && state.waiting.length === 0 ? "idle" : "thinking"
}

export const toSummary = (state: SessionState): SessionSummary => ({
  id: state.id,
  title: state.title,
  agentType: state.agentType,
  metadata: state.metadata,
  status: statusOf(state),
  messages: state.messages,
  ...(state.parent === undefined ? undefined : { parent: state.parent.sessionId }),
  createdAt: state.createdAt,
  updatedAt: state.updatedAt
})

export const toSession = (state: SessionState): Session => ({
  ...toSummary(state),
  queued: state.waiting.length,
  ...(state.turn === undefined ? undefined : { turn: state.turn.id }),
  permissions: state.permission.pending.map(({ permissionId }) => permissionId),
  questions: state.questions.pending.map(({ questionId }) => questionId),
  workers:
    state.calls.length === 0 ? none : state.calls.flatMap(({ workerId }) => (workerId === undefined ? [] : [workerId])),
  spent: state.spent,
  subSessions: state.subs.length === 0 ? none : state.subs.map(({ sessionId }) => sessionId),
  sequence: state.sequence
})
