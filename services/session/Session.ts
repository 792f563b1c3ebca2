/** A session as it can be looked at. */
import { Schema } from "effect"
import { CallId, MessageId, SessionId, TurnId } from "./SessionId.ts"
import { Spending } from "./Budget.ts"
import { SessionMetadata } from "./SessionEvent.ts"
import { PermissionId } from "../permission/Permission.ts"
import { QuestionId } from "../question/Question.ts"
import { AgentKey } from "../registry/Agent.ts"
import { WorkerId } from "../worker/WorkerId.ts"

/**
 * `idle`: waits for a message. `hibernated`: the same, and out of memory until one comes. `thinking`: a turn runs, or is about to. `awaiting_permission`: a person has to allow a tool call, or to answer an MCP server.
 * `ended`: stopped for good, still readable.
 */
export const SessionStatus = Schema.Literals(["idle", "hibernated", "thinking", "awaiting_permission", "ended"])
export type SessionStatus = typeof SessionStatus.Type

const fields = {
  id: SessionId,
  title: Schema.String,
  agentType: Schema.String,
  metadata: SessionMetadata,
  status: SessionStatus,
  /** The session that this one is below. */
  parent: Schema.optionalKey(SessionId),
  /** Messages there are, the user's and the assistant's. */
  messages: Schema.Int,
  /** Unix times in milliseconds. */
  createdAt: Schema.Int,
  updatedAt: Schema.Int
}

/** What a listing shows of a session. */
export const SessionSummary = Schema.Struct(fields)
export type SessionSummary = typeof SessionSummary.Type

export const Session = Schema.Struct({
  ...fields,
  /** Accepted messages that wait for their turn. */
  queued: Schema.Int,
  turn: Schema.optionalKey(TurnId),
  /** Permissions that wait for a person's answer, its sub-agents' among them. */
  permissions: Schema.Array(PermissionId),
  /** Questions of MCP servers that wait for a person's answer, its sub-agents' among them. */
  questions: Schema.Array(QuestionId),
  /** Workers that have not ended. */
  workers: Schema.Array(WorkerId),
  /** Sessions below this one that have not ended. */
  subSessions: Schema.Array(SessionId),
  /** What its models' answers took, those of sub-sessions that have ended among them. Absent while it is out of memory. */
  spent: Schema.optionalKey(Spending),
  /** Sequence of the newest event on its topic: subscribe from the next one to miss nothing. */
  sequence: Schema.Int
})
export type Session = typeof Session.Type

/** One entry of a conversation. */
export const Message = Schema.TaggedUnion({
  UserMessage: {
    /** What came with it, by name or type; the whole is in the session's events. */
    attachments: Schema.optionalKey(Schema.Array(Schema.String)),
    id: MessageId,
    sequence: Schema.Int,
    at: Schema.Int,
    text: Schema.String,
    /** The agent that sent it; absent when a person did. */
    from: Schema.optionalKey(AgentKey)
  },
  AssistantMessage: {
    id: MessageId,
    sequence: Schema.Int,
    at: Schema.Int,
    turnId: TurnId,
    text: Schema.String,
    partial: Schema.Boolean
  },
  /** A tool call and, once it is settled, how it ended. */
  ToolMessage: {
    callId: CallId,
    sequence: Schema.Int,
    at: Schema.Int,
    turnId: Schema.optionalKey(TurnId),
    workerId: Schema.optionalKey(WorkerId),
    tool: Schema.String,
    args: Schema.Json,
    outcome: Schema.optionalKey(Schema.Json)
  }
})
export type Message = typeof Message.Type
