/** What `generate_report` is asked and what it answers: what a session did, in figures and as Markdown. */
import { Schema } from "effect"
import { Failure } from "../Failure.ts"
import { SessionId } from "../session/SessionId.ts"
import { WorkerStatus } from "../worker/Worker.ts"
import { WorkerId } from "../worker/WorkerId.ts"

/** Longest lists a report carries: of messages, workers and failures the newest. */
export const limits = {
  tools: 100,
  workers: 100,
  messages: 40,
  failures: 50,
  messageCharacters: 500,
  reportCharacters: 64_000
} as const

export const GenerateReport = Schema.Struct({
  sessionId: SessionId.annotate({ description: "the session to report on" })
})
export type GenerateReport = typeof GenerateReport.Type

export const ToolUse = Schema.Struct({
  tool: Schema.String,
  calls: Schema.Int,
  completed: Schema.Int,
  failed: Schema.Int,
  cancelled: Schema.Int,
  interrupted: Schema.Int,
  /** Calls without an outcome so far. */
  unsettled: Schema.Int,
  /** Milliseconds of all settled calls together, waiting included. */
  duration: Schema.Int
})
export type ToolUse = typeof ToolUse.Type

export const WorkerUse = Schema.Struct({
  workerId: WorkerId,
  tool: Schema.String,
  status: WorkerStatus,
  attempts: Schema.Int,
  /** Milliseconds in the queue and at work, as far as they have passed. */
  waited: Schema.optionalKey(Schema.Int),
  worked: Schema.optionalKey(Schema.Int)
})
export type WorkerUse = typeof WorkerUse.Type

export const ReportedFailure = Schema.Struct({
  /** What failed: `turn`, or the tool. */
  subject: Schema.String,
  /** Unix time in milliseconds. */
  at: Schema.Int,
  failure: Failure
})
export type ReportedFailure = typeof ReportedFailure.Type

export const SessionReport = Schema.Struct({
  sessionId: SessionId,
  title: Schema.String,
  agentType: Schema.String,
  /** Unix times in milliseconds. */
  startedAt: Schema.Int,
  endedAt: Schema.optionalKey(Schema.Int),
  lastEventAt: Schema.Int,
  events: Schema.Int,
  /** Older events that are no longer kept: the figures are of what came after them. */
  notKept: Schema.optionalKey(Schema.Int),
  messages: Schema.Struct({ user: Schema.Int, assistant: Schema.Int }),
  turns: Schema.Struct({ completed: Schema.Int, cancelled: Schema.Int, failed: Schema.Int, running: Schema.Int }),
  tools: Schema.Array(ToolUse),
  /** Heavy tool calls in all; `workers` tells of the newest. */
  workerCount: Schema.Int,
  workers: Schema.Array(WorkerUse),
  failureCount: Schema.Int,
  failures: Schema.Array(ReportedFailure),
  /** Markdown. */
  report: Schema.String
})
export type SessionReport = typeof SessionReport.Type
