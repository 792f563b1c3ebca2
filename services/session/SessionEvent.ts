/**
 * What has happened to a session: facts in the order they happened, never edited. The journal stamps each with its
 * sequence and time; a session's state is a fold over them (`SessionState.ts`). Every event is plain JSON as it stands.
 */
import { Schema } from "effect"
import { Failure } from "../Failure.ts"
import { AgentKey } from "../registry/Agent.ts"
import { ModelAnswer } from "../model/ModelAnswer.ts"
import { WorkerId } from "../worker/WorkerId.ts"
import { CallId, MessageId, TurnId } from "./SessionId.ts"

/** Free-form labels that a session carries: model, directory, owner … */
export const SessionMetadata = Schema.Record(Schema.String, Schema.String)
export type SessionMetadata = typeof SessionMetadata.Type

/** How a tool call ended. `interrupted`: a crash cut off a call that may not be run twice. */
export const ToolOutcome = Schema.TaggedUnion({
  ToolCompleted: { result: Schema.Json },
  ToolFailed: { failure: Failure },
  ToolCancelled: {},
  ToolInterrupted: {}
})
export type ToolOutcome = typeof ToolOutcome.Type

/** On the first event of what a model's answer led to: what is known of the answer besides. */
const answer = Schema.optionalKey(ModelAnswer)

export const SessionEvent = Schema.TaggedUnion({
  SessionStarted: { title: Schema.String, agentType: Schema.String, metadata: SessionMetadata },
  SessionUpdated: { title: Schema.optionalKey(Schema.String), metadata: Schema.optionalKey(SessionMetadata) },
  /** A message was accepted, a user's or another agent's: from here on it is never lost and is answered exactly once. */
  MessageReceived: { messageId: MessageId, text: Schema.String, from: Schema.optionalKey(AgentKey) },
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
  ToolCallSettled: { callId: CallId, outcome: ToolOutcome },
  /** The assistant's message of a turn is complete; `partial` marks text that a cancel cut off. */
  MessageSettled: { turnId: TurnId, messageId: MessageId, text: Schema.String, partial: Schema.Boolean, answer },
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
  TextDelta: { turnId: TurnId, text: Schema.String }
})
export type SessionDelta = typeof SessionDelta.Type
