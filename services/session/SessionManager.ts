/**
 * Sessions: started, spoken to, watched and stopped.
 *
 * Whatever returns has been journaled: a crash at any later instant loses nothing of it. The contract speaks in ids,
 * schemas and streams only, so a session elsewhere looks like one here.
 */
import { Context, type Effect, Schema } from "effect"
import type { InvalidInput } from "../InvalidInput.ts"
import type { StorageError } from "../journal/StorageError.ts"
import type { McpServerNotFound } from "../mcp/McpServer.ts"
import type { AgentKey } from "../registry/Agent.ts"
import type { ToolNotFound } from "../tools/Tools.ts"
import type { ToolFailure } from "../tools/Tool.ts"
import type { PoolRefusal } from "../worker/WorkerPool.ts"
import type { WorkerId } from "../worker/WorkerId.ts"
import type { Message, Session, SessionSummary } from "./Session.ts"
import type { Limits } from "./Budget.ts"
import type { MessageAttachment } from "./MessageAttachment.ts"
import type { PermissionRefusal } from "../permission/Approval.ts"
import type { Permission, PermissionAnswer, PermissionId } from "../permission/Permission.ts"
import type { AnswerContent, Question, QuestionAction, QuestionId } from "../question/Question.ts"
import type { QuestionRefusal } from "../question/Settling.ts"
import type { SessionMetadata, SessionPermissions, WhenBusy } from "./SessionEvent.ts"
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

/** A turn runs or messages wait, and the message was to be refused then. Nothing was accepted. */
export class SessionBusy extends Schema.TaggedError<SessionBusy>()("SessionBusy", { sessionId: SessionId }) {
  override get message() {
    return `session ${this.sessionId} is busy; wait until it is idle, or send the message with whenBusy: enqueue`
  }
}

/** As many sub-sessions live below the session as may, or they are nested as deep as they may be. */
export class TooManySubSessions extends Schema.TaggedError<TooManySubSessions>()("TooManySubSessions", {
  sessionId: SessionId,
  limit: Schema.Int
}) {
  override get message() {
    return `session ${this.sessionId} has ${this.limit} sessions below it, side by side or in a row, which is all it may; wait for one to end`
  }
}

/** The turn is over, or none was running. */
export class NoTurn extends Schema.TaggedError<NoTurn>()("NoTurn", { sessionId: SessionId }) {
  override get message() {
    return `session ${this.sessionId} has no running turn to cancel`
  }
}

/** A person's answer to a permission that a tool call waits for. */
export interface PermissionReply {
  readonly sessionId: SessionId
  readonly permissionId: PermissionId
  readonly decision: PermissionAnswer
  /** Of what was shown: an answer to anything else is refused. */
  readonly hash: string
  /** With `allow`: the tool is not asked about again in this session, for what it touched this time. */
  readonly remember?: boolean | undefined
}

/** A person's answer to a question of an MCP server. */
export interface QuestionReply {
  readonly sessionId: SessionId
  readonly questionId: QuestionId
  readonly action: QuestionAction
  /** With `accept`: what the question's schema asks for. It is handed to the server and kept nowhere. */
  readonly content?: AnswerContent | undefined
}

export interface StartOptions {
  /** Chosen by the caller to make a retry safe: a live session of that id is returned as it is. */
  readonly sessionId?: SessionId | undefined
  readonly title?: string | undefined
  readonly agentType?: string | undefined
  readonly metadata?: SessionMetadata | undefined
  /** What it may do without asking, and whether somebody is there to be asked. */
  readonly permissions?: SessionPermissions | undefined
  /** For messages that do not say it themselves (default `enqueue`). */
  readonly whenBusy?: WhenBusy | undefined
  /** Where it works: an absolute path. Its `AGENTS.md` is told to the model. */
  readonly directory?: string | undefined
  /** The declared MCP servers that it sees, and those below it (default: all that the session above sees, or all). */
  readonly mcpServers?: ReadonlyArray<string> | undefined
  /** Makes it a sub-session, which ends with the session above it. Its id is made for it then. */
  readonly parent?:
    | {
        readonly sessionId: SessionId
        /** Milliseconds after which it is stopped (default an hour). */
        readonly deadline?: number | undefined
        /** Milliseconds that it may be idle (default 10 minutes). */
        readonly idleLimit?: number | undefined
      }
    | undefined
  /** What it and each of its turns may use up: within the server's own limits. */
  readonly limits?: Limits | undefined
}

export interface SendOptions {
  readonly sessionId: SessionId
  readonly text: string
  /** Chosen by the caller to make a retry safe: a message that is there already is acknowledged again, not repeated. */
  readonly messageId?: MessageId | undefined
  /** What becomes of it while a turn runs (default: as the session was started with). */
  readonly whenBusy?: WhenBusy | undefined
  readonly attachments?: ReadonlyArray<MessageAttachment> | undefined
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
    ) => Effect.Effect<Session, Unavailable | TooManySubSessions | InvalidInput | McpServerNotFound>
    /** Cancels its turn and workers, then ends it. Ending an ended session changes nothing. */
    readonly stop: (sessionId: SessionId, reason?: string) => Effect.Effect<void, Exclude<Unavailable, SessionHasEnded>>
    readonly get: (sessionId: SessionId) => Effect.Effect<Session, Exclude<Unavailable, SessionHasEnded>>
    /** Newest first; ended ones too. */
    readonly list: (options: {
      readonly before?: SessionId | undefined
      /** Only those below this one. */
      readonly parent?: SessionId | undefined
      readonly limit: number
    }) => Effect.Effect<ReadonlyArray<SessionSummary>, StorageError>
    readonly send: (options: SendOptions) => Effect.Effect<Acknowledgement, Unavailable | MailboxFull | SessionBusy>
    /** Returns when the turn has ended and nothing of it is left running. Messages that wait stay in line. */
    readonly cancelTurn: (sessionId: SessionId) => Effect.Effect<void, Unavailable | NoTurn>
    /** Permissions that wait for an answer, its sub-agents' among them; the oldest first. */
    readonly permissions: (
      sessionId: SessionId
    ) => Effect.Effect<ReadonlyArray<Permission>, Exclude<Unavailable, SessionHasEnded>>
    /** Answered by the `Person` at hand. Nothing has changed when it fails. */
    readonly resolvePermission: (reply: PermissionReply) => Effect.Effect<void, Unavailable | PermissionRefusal>
    /** Questions of MCP servers that wait for an answer, its sub-agents' among them; the oldest first. */
    readonly questions: (
      sessionId: SessionId
    ) => Effect.Effect<ReadonlyArray<Question>, Exclude<Unavailable, SessionHasEnded>>
    /** Answered by the `Person` at hand. Nothing has changed when it fails. */
    readonly answerQuestion: (reply: QuestionReply) => Effect.Effect<void, Unavailable | QuestionRefusal | InvalidInput>
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
      /** Of a heavy tool, 0 to 9, 9 first, among the tasks of the session that wait (default: the tool's own). */
      readonly priority?: number | undefined
    }) => Effect.Effect<ToolRun, Unavailable | ToolNotFound | InvalidInput | PoolRefusal | ToolFailure | MailboxFull>
  }
>()("espalier/session/SessionManager") {}
