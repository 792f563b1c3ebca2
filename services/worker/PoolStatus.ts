/** How the pools stand. Times in milliseconds; counts since the process started. */
import { Schema } from "effect"
import { SessionId } from "../session/SessionId.ts"
import { ResizedBy } from "./PoolEvent.ts"

/** `paused` starts nothing; `draining` takes nothing new and ends what it has. */
export const PoolMode = Schema.Literals(["open", "paused", "draining"])
export type PoolMode = typeof PoolMode.Type

export const ScalingStep = Schema.Struct({
  at: Schema.Int,
  from: Schema.Int,
  to: Schema.Int,
  by: ResizedBy,
  reason: Schema.String
})
export type ScalingStep = typeof ScalingStep.Type

const counts = {
  permits: Schema.Int,
  running: Schema.Int,
  queued: Schema.Int,
  /** Longest the queue may be. */
  capacity: Schema.Int,
  /** Milliseconds that a task may wait. */
  patience: Schema.Int,
  completed: Schema.Int,
  failed: Schema.Int,
  cancelled: Schema.Int,
  refused: Schema.Int
}

export const NamedPool = Schema.Struct({
  name: Schema.String,
  mode: PoolMode,
  ...counts,
  /** Permits that the pool scales itself between; the same when it does not. */
  min: Schema.Int,
  max: Schema.Int,
  /** Permits beyond those, while more than `overflowAbove` wait. */
  overflow: Schema.Int,
  overflowAbove: Schema.Int,
  /** Of those that failed: waited too long and never started. */
  timedOut: Schema.Int,
  /** How long the newest 1,000 that got a permit had waited for it, and how long the first in line waits now. */
  waits: Schema.Struct({ p50: Schema.Finite, p99: Schema.Finite, now: Schema.Finite }),
  /** How long a task runs, as a moving mean; absent while none has ended. */
  runTime: Schema.optionalKey(Schema.Finite),
  /** The sessions with most tasks in it, at most 20 of them, and how many there are. */
  sessions: Schema.Array(Schema.Struct({ sessionId: SessionId, running: Schema.Int, queued: Schema.Int })),
  sessionCount: Schema.Int,
  /** The newest changes of its permits, at most 50, oldest first. */
  scaling: Schema.Array(ScalingStep)
})
export type NamedPool = typeof NamedPool.Type

/** What stands beside `pools` is of the pool `tools`. */
export const PoolStatus = Schema.Struct({ ...counts, pools: Schema.Array(NamedPool) })
export type PoolStatus = typeof PoolStatus.Type
