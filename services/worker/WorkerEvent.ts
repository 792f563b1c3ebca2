/**
 * What has happened to a worker, in its own stream `worker:<id>`. `WorkerQueued` holds all that is needed to run it,
 * so accepted work survives the process. Exactly one of completed, failed and cancelled ends it.
 */
import { Schema } from "effect"
import { Failure } from "../Failure.ts"
import { CallId, SessionId } from "../session/SessionId.ts"
import { WorkerId } from "./WorkerId.ts"

export const WorkerLimits = Schema.Struct({
  /** Longest silence in milliseconds: every report of progress starts it anew. */
  deadline: Schema.Int,
  /** Longest run in milliseconds, progress or not. */
  hardCap: Schema.Int
})
export type WorkerLimits = typeof WorkerLimits.Type

export const WorkerEvent = Schema.TaggedUnion({
  WorkerQueued: {
    workerId: WorkerId,
    sessionId: SessionId,
    callId: CallId,
    tool: Schema.String,
    args: Schema.Json,
    /** Whether it may be run again when a crash cut it off. */
    idempotent: Schema.Boolean,
    limits: WorkerLimits,
    /** Absent in events older than named pools: `tools`. */
    pool: Schema.optionalKey(Schema.String),
    /** 0 to 9, 9 first. Absent in older events: 5. */
    priority: Schema.optionalKey(Schema.Int),
    /** What quotas per key count it by. */
    key: Schema.optionalKey(Schema.String)
  },
  /** `attempt` counts from 1; above 1 the process died while it ran. */
  WorkerStarted: { attempt: Schema.Int },
  /** `percent` is 0 to 100 and never falls. */
  WorkerProgress: { percent: Schema.Finite, stage: Schema.String },
  WorkerCompleted: { result: Schema.Json },
  WorkerFailed: { failure: Failure },
  WorkerCancelled: { reason: Schema.String }
})
export type WorkerEvent = typeof WorkerEvent.Type

export const isTerminal = (event: { readonly _tag: string }): boolean =>
  event._tag === "WorkerCompleted" || event._tag === "WorkerFailed" || event._tag === "WorkerCancelled"
