/**
 * Sessions: started, spoken to, watched and stopped.
 *
 * Whatever returns has been journaled: a crash at any later instant loses nothing of it. The contract speaks in ids,
 * schemas and streams only, so a session elsewhere looks like one here.
 */
import { Context, type Effect, Schema } from "effect"
import type { InvalidInput } from "../InvalidInput.ts"
import type { StorageError } from "../journal/StorageError.ts"
import type { AgentKey } from "../registry/Agent.ts"
import type { ToolNotFound } from "../tools/Tools.ts"
import type { ToolFailure } from "../tools/Tool.ts"
import type { PoolSaturated } from "../worker/WorkerPool.ts"
import type { WorkerId } from "../worker/WorkerId.ts"
import type { Message, Session, SessionSummary } from "./Session.ts"
import type { SessionMetadata } from "./SessionEvent.ts"
import { type MessageId, SessionId } from "./SessionId.ts"

export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", {
  sessionId: SessionId
}) {
  override get message() {
    return `no session ${this.sessionId}; see "espalier session list"`
  }
}

/** The session was stopped: it can be read and takes nothing more. */
export class SessionHasEnded extends Schema.TaggedError<SessionHasEnded>()("SessionHasEnded", {
  sessionId: SessionId
}) {
  override get message() {
    return `session ${this.sessionId} has ended; start a new one`
  }
}

/** As many messages wait as the session takes. Nothing was accepted; safe to retry. */
export class MailboxFull extends Schema.TaggedError<MailboxFull>()("MailboxFull", {
  sessionId: SessionId,
  capacity: Schema.Int
}) {
  override get message() {
    return `session ${this.sessionId} has ${this.capacity} messages waiting, which is all it takes; try again later`
  }
}

/** The session crashed before it could answer. What was asked for may have happened: retry with the same id. */
export class SessionInterrupted extends Schema.TaggedError<SessionInterrupted>()("SessionInterrupted", {
  sessionId: SessionId
}) {
  override get message() {
    return `session ${this.sessionId} was interrupted before it answered; try again with the same message id`
  }
}

/** As many sessions are live as the server takes. Safe to retry. */
export class TooManySessions extends Schema.TaggedError<TooManySessions>()("TooManySessions", { limit: Schema.Int }) {
  override get message() {
    return `${this.limit} sessions are live, which is all this server takes; stop one or try again later`
  }
}

/** The turn is over, or none was running. */
export class NoTurn extends Schema.TaggedError<NoTurn>()("NoTurn", { sessionId: SessionId }) {
  override get message() {
    return `session ${this.sessionId} has no running turn to cancel`
  }
}

export interface StartOptions {
  /** Chosen by the caller to make a retry safe: a live session of that id is returned as it is. */
  readonly sessionId?: SessionId | undefined
  readonly title?: string | undefined
  readonly agentType?: string | undefined
  readonly metadata?: SessionMetadata | undefined
}

export interface SendOptions {
  readonly sessionId: SessionId
  readonly text: string
  /** Chosen by the caller to make a retry safe: a message that is there already is acknowledged again, not repeated. */
  readonly messageId?: MessageId | undefined
  /** The agent that sends it; absent when a person does. */
  readonly from?: AgentKey | undefined
}

export const Acknowledgement = Schema.Struct({
  messageId: Schema.String,
  /** Place of the message in the session's sequence of events. */
  sequence: Schema.Int
})
export type Acknowledgement = { readonly messageId: MessageId; readonly sequence: number }

/** A fast tool has its result; a heavy one has a worker to watch. */
export type ToolRun = { readonly result: Schema.Json } | { readonly workerId: WorkerId }

type Unavailable = SessionNotFound | SessionHasEnded | SessionInterrupted | TooManySessions | StorageError

export class SessionManager extends Context.Service<
  SessionManager,
  {
    readonly start: (
      options: StartOptions
    ) => Effect.Effect<Session, TooManySessions | SessionHasEnded | SessionInterrupted | StorageError>
    /** Cancels its turn and workers, then ends it. Ending an ended session changes nothing. */
    readonly stop: (sessionId: SessionId, reason?: string) => Effect.Effect<void, Exclude<Unavailable, SessionHasEnded>>
    readonly get: (sessionId: SessionId) => Effect.Effect<Session, Exclude<Unavailable, SessionHasEnded>>
    /** Newest first; ended ones too. */
    readonly list: (options: {
      readonly before?: SessionId | undefined
      readonly limit: number
    }) => Effect.Effect<ReadonlyArray<SessionSummary>, StorageError>
    readonly send: (options: SendOptions) => Effect.Effect<Acknowledgement, Unavailable | MailboxFull>
    /** Returns when the turn has ended and nothing of it is left running. Messages that wait stay in line. */
    readonly cancelTurn: (sessionId: SessionId) => Effect.Effect<void, Unavailable | NoTurn>
    readonly update: (
      sessionId: SessionId,
      change: { readonly title?: string | undefined; readonly metadata?: SessionMetadata | undefined }
    ) => Effect.Effect<Session, Unavailable>
    /** In order, those with a sequence above `after`. */
    readonly messages: (options: {
      readonly sessionId: SessionId
      readonly after: number
      readonly limit: number
    }) => Effect.Effect<ReadonlyArray<Message>, SessionNotFound | StorageError>
    readonly runTool: (options: {
      readonly sessionId: SessionId
      readonly tool: string
      readonly args: Schema.Json
    }) => Effect.Effect<ToolRun, Unavailable | ToolNotFound | InvalidInput | PoolSaturated | ToolFailure | MailboxFull>
  }
>()("espalier/session/SessionManager") {}
