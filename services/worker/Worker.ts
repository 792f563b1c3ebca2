/** A worker as it can be looked at, and how its events make it. */
import { Effect, Schema } from "effect"
import type { Recorded } from "../events/RuntimeEvent.ts"
import { Failure } from "../Failure.ts"
import { CallId, SessionId } from "../session/SessionId.ts"
import { defaultPool } from "./PoolLimits.ts"
import { defaultPriority } from "./Ticket.ts"
import { WorkerLimits } from "./WorkerEvent.ts"
import { WorkerId } from "./WorkerId.ts"

export const WorkerStatus = Schema.Literals(["queued", "running", "completed", "failed", "cancelled"])
export type WorkerStatus = typeof WorkerStatus.Type

const fields = {
  id: WorkerId,
  sessionId: SessionId,
  callId: CallId,
  tool: Schema.String,
  status: WorkerStatus,
  /** 0 to 100. */
  percent: Schema.Finite,
  stage: Schema.String,
  /** Times a process started it: above 1 after a crash. */
  attempt: Schema.Int,
  idempotent: Schema.Boolean,
  limits: WorkerLimits,
  /** The pool that it runs on. */
  pool: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed(defaultPool))),
  /** 0 to 9, 9 first, among the tasks of its session. */
  priority: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(defaultPriority))),
  /** What quotas per key count it by. */
  key: Schema.optionalKey(Schema.String),
  /** Unix times in milliseconds. */
  queuedAt: Schema.Int,
  startedAt: Schema.optionalKey(Schema.Int),
  endedAt: Schema.optionalKey(Schema.Int),
  failure: Schema.optionalKey(Failure)
}

/** What a listing shows of a worker. */
export const WorkerSummary = Schema.Struct(fields)
export type WorkerSummary = typeof WorkerSummary.Type

export const Worker = Schema.Struct({
  ...fields,
  args: Schema.Json,
  result: Schema.optionalKey(Schema.Json),
  /** Sequence of the newest event on its topic. */
  sequence: Schema.Int
})
export type Worker = typeof Worker.Type

export const isEnded = (worker: { readonly status: WorkerStatus }): boolean =>
  worker.status === "completed" || worker.status === "failed" || worker.status === "cancelled"

/** Folds the next event of a worker's stream into it. The first must be `WorkerQueued`. */
export const fold = (worker: Worker | undefined, { at, event, sequence }: Recorded): Worker | undefined => {
  if (event._tag === "WorkerQueued") {
    return {
      id: event.workerId,
      sessionId: event.sessionId,
      callId: event.callId,
      tool: event.tool,
      args: event.args,
      idempotent: event.idempotent,
      limits: event.limits,
      pool: event.pool ?? defaultPool,
      priority: event.priority ?? defaultPriority,
      ...(event.key !== undefined && { key: event.key }),
      status: "queued",
      percent: 0,
      stage: "",
      attempt: 0,
      queuedAt: at,
      sequence
    }
  }
  if (worker === undefined || isEnded(worker)) return worker
  switch (event._tag) {
    case "WorkerStarted":
      return { ...worker, status: "running", attempt: event.attempt, startedAt: at, percent: 0, stage: "", sequence }
    case "WorkerProgress":
      return { ...worker, percent: event.percent, stage: event.stage, sequence }
    case "WorkerCompleted":
      return { ...worker, status: "completed", percent: 100, result: event.result, endedAt: at, sequence }
    case "WorkerFailed":
      return { ...worker, status: "failed", failure: event.failure, endedAt: at, sequence }
    case "WorkerCancelled":
      return { ...worker, status: "cancelled", endedAt: at, sequence }
    default:
      return worker
  }
}

export const summarize = ({ args: _args, result: _result, sequence: _sequence, ...summary }: Worker): WorkerSummary =>
  summary
