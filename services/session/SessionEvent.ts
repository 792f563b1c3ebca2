/**
 * What has happened to a session: facts in the order they happened, never edited. The journal stamps each with its
 * sequence and time; a session's state is a fold over them (`SessionState.ts`). Every event is plain JSON as it stands.
 */
import { Schema } from "effect"
import { Failure } from "../Failure.ts"
import { PermissionAnswer, permissionFields, PermissionId } from "../permission/Permission.ts"
import { PermissionMode, PermissionRule } from "../permission/Rules.ts"
import { QuestionEnd, questionFields } from "../question/Question.ts"
import { AgentKey } from "../registry/Agent.ts"
import { ModelAnswer } from "../model/ModelAnswer.ts"
import { Limits, nothing, Spending, spendingOf } from "./Budget.ts"
import { WorkerId } from "../worker/WorkerId.ts"
import { MessageAttachment } from "./MessageAttachment.ts"
import { CallId, MessageId, SessionId, TurnId } from "./SessionId.ts"
import { Parent } from "./Parent.ts"

/** Free-form labels that a session carries: model, directory, owner … */
export const SessionMetadata = Schema.Record(Schema.String, Schema.String)
export type SessionMetadata = typeof SessionMetadata.Type

/** How a tool call ended. `interrupted`: a crash cut off a call that may not be run twice. */
export const ToolOutcome = Schema.TaggedUnion({
  ToolCompleted: { result: Schema.Json },
  /** `partial`: what there was of a result by then. */
  ToolFailed: { failure: Failure, partial: Schema.optionalKey(Schema.Json) },
  ToolCancelled: {},
  ToolInterrupted: {}
})
export type ToolOutcome = typeof ToolOutcome.Type

/** What a session may do without asking, and whether somebody is there to be asked. */
export const SessionPermissions = Schema.Struct({
  mode: Schema.optionalKey(PermissionMode),
  rules: Schema.optionalKey(Schema.Array(PermissionRule))
})
export type SessionPermissions = typeof SessionPermissions.Type

/**
 * What becomes of a message that comes while the session is busy. `enqueue`: it waits its turn. `reject`: it is refused.
 * `interrupt`: the running turn is cancelled, keeping what was settled, and this message comes next. `rollback`: the
 * same, and the conversation goes on as if the running turn had never been.
 */
export const WhenBusy = Schema.Literals(["enqueue", "reject", "interrupt", "rollback"])
export type WhenBusy = typeof WhenBusy.Type
/** On the first event of what a model's answer led to: what is known of the answer besides. */
const answer = Schema.optionalKey(ModelAnswer)

export const SessionEvent = Schema.TaggedUnion({
  SessionStarted: {
    title: Schema.String,
    agentType: Schema.String,
    metadata: SessionMetadata,
    owner: Schema.optionalKey(Schema.String),
    permissions: Schema.optionalKey(SessionPermissions),
    whenBusy: Schema.optionalKey(WhenBusy),
    limits: Schema.optionalKey(Limits),
    /** Where it works: an absolute path. Its `AGENTS.md` is told to the model. */
    directory: Schema.optionalKey(Schema.String),
    /** The MCP servers that it sees, by their names; absent for all that are declared. */
    mcpServers: Schema.optionalKey(Schema.Array(Schema.String)),
    /** Of a sub-session. */
    parent: Schema.optionalKey(Parent)
  },
  SessionUpdated: { title: Schema.optionalKey(Schema.String), metadata: Schema.optionalKey(SessionMetadata) },
  /** A message was accepted, a user's or another agent's: from here on it is never lost and is answered exactly once. */
  MessageReceived: {
    messageId: MessageId,
    text: Schema.String,
    from: Schema.optionalKey(AgentKey),
    attachments: Schema.optionalKey(Schema.Array(MessageAttachment)),
    /** The running turn is cancelled for it, and it comes next. */
    supersedes: Schema.optionalKey(Schema.Literals(["interrupt", "rollback"]))
  },
  TurnStarted: { turnId: TurnId, messageId: MessageId },
  /** A tool call was decided on. Without `turnId` a person asked for it; with `workerId` it runs on the pool. */
  ToolCallRequested: {
    callId: CallId,
    turnId: Schema.optionalKey(TurnId),
    workerId: Schema.optionalKey(WorkerId),
    tool: Schema.String,
    args: Schema.Json,
    answer
  },
  /** A person has to allow the call before it runs. With `path` it is a sub-agent that asks. */
  PermissionRequested: permissionFields,
  /** Exactly one for each. `expired`: nobody answered in time. `withdrawn`: what asked is over. */
  PermissionResolved: {
    permissionId: PermissionId,
    callId: CallId,
    decision: PermissionAnswer,
    how: Schema.Literals(["answered", "expired", "withdrawn"]),
    by: Schema.optionalKey(Schema.String),
    path: permissionFields.path,
    allowed: Schema.optionalKey(Schema.Array(PermissionRule))
  },
  /** An MCP server asks the session's person. With `path` it does so for a sub-agent. */
  QuestionAsked: questionFields,
  /** Exactly one for each. What was answered is the server's alone, and stands nowhere. */
  QuestionSettled: {
    questionId: questionFields.questionId,
    action: QuestionEnd,
    by: Schema.optionalKey(Schema.String),
    path: questionFields.path
  },
  /** The model completed a text for an MCP server while a tool of it ran for the session, which pays for it. */
  TextSampled: { server: Schema.String, answer: ModelAnswer },
  /** A session below this one has begun; with `callId` it is the outcome of that call. */
  SubSessionStarted: {
    sessionId: SessionId,
    index: Schema.Int,
    agentType: Schema.String,
    callId: Schema.optionalKey(CallId)
  },
  /** Exactly one for each: it counts no longer, and what it used is its session's. */
  SubSessionEnded: { sessionId: SessionId, spent: Spending },
  /** A call that had to be allowed first is on the pool now. */
  ToolCallQueued: { callId: CallId, workerId: WorkerId },
  ToolCallSettled: { callId: CallId, outcome: ToolOutcome },
  /** The assistant's message of a turn is complete; `partial` marks text that a cancel cut off. */
  MessageSettled: { turnId: TurnId, messageId: MessageId, text: Schema.String, partial: Schema.Boolean, answer },
  /** What the model is shown was made to fit: results of tools left out, or all up to there summed up. */
  ContextCompacted: {
    turnId: TurnId,
    upTo: Schema.Int,
    dropped: Schema.Int,
    summary: Schema.optionalKey(Schema.String),
    answer
  },
  /** The turn is no part of the conversation any more; what it did stays done. Its end follows. */
  TurnRolledBack: { turnId: TurnId },
  /** Exactly one for each turn. */
  TurnEnded: {
    turnId: TurnId,
    outcome: Schema.Literals(["completed", "cancelled", "failed"]),
    failure: Schema.optionalKey(Failure),
    answer
  },
  /** Exactly one for each session, and its last event. */
  SessionEnded: { reason: Schema.String }
})
export type SessionEvent = typeof SessionEvent.Type

/** Published while a turn streams and never journaled: what counts is the settled message. */
export const SessionDelta = Schema.TaggedUnion({
  /** `from`: characters of the same message that came before it; 0 again when the message is begun anew. */
  TextDelta: { turnId: TurnId, text: Schema.String, from: Schema.Int },
  /** It has left memory; nothing else has changed. */
  SessionHibernated: {},
  SessionWoken: {}
})
export type SessionDelta = typeof SessionDelta.Type

/** What the model's answer behind the event took: it is told with the first event that the answer led to. */
export const spentWith = (event: SessionEvent): Spending =>
  event._tag === "MessageSettled" ||
  event._tag === "ToolCallRequested" ||
  event._tag === "ContextCompacted" ||
  event._tag === "TextSampled" ||
  event._tag === "TurnEnded"
    ? spendingOf(event.answer?.usage)
    : nothing
