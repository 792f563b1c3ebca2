/**
 * Bounded pool of workers.
 *
 * A fixed number of permits with a bounded, fair queue in front of them. A task is admitted or refused at once;
 * admitted work is durable, runs at most `permits` at a time, and ends exactly once: completed, failed or cancelled.
 * A task that waits longer than the queue's patience fails without having started. After a crash of the process
 * queued work waits in the queue again; running work is run again if it is idempotent and otherwise fails as
 * interrupted.
 */
import { Context, type Effect, Schema } from "effect"
import type { Append } from "../journal/Journal.ts"
import type { StorageError } from "../journal/StorageError.ts"
import type { CallId, SessionId } from "../session/SessionId.ts"
import type { Tool } from "../tools/Tool.ts"
import type { Worker, WorkerStatus, WorkerSummary } from "./Worker.ts"
import { WorkerId } from "./WorkerId.ts"

/** All permits are in use and the queue is full. Safe to retry. */
export class PoolSaturated extends Schema.TaggedError<PoolSaturated>()("PoolSaturated", {
  running: Schema.Int,
  queued: Schema.Int
}) {
  override get message() {
    return `the pool runs ${this.running} workers and ${this.queued} are waiting, which is all it takes; try again later`
  }
}

export class WorkerNotFound extends Schema.TaggedError<WorkerNotFound>()("WorkerNotFound", { workerId: WorkerId }) {
  override get message() {
    return `no worker ${this.workerId}; see "espalier worker list"`
  }
}

/** The worker has ended, so there is nothing to cancel. */
export class WorkerEnded extends Schema.TaggedError<WorkerEnded>()("WorkerEnded", {
  workerId: WorkerId,
  status: Schema.String
}) {
  override get message() {
    return `worker ${this.workerId} has ended (${this.status}) and cannot be cancelled`
  }
}

export interface Task {
  readonly sessionId: SessionId
  readonly callId: CallId
  readonly tool: Tool
  /** The arguments in their encoded form, already checked against the tool's schema. */
  readonly args: Schema.Json
}

/** A place in the queue, held until it is used or given back. */
export interface Admission {
  readonly workerId: WorkerId
  /**
   * To be journaled by the caller together with its own event, so that both are there or neither, and published with
   * it before the task is queued: the pool publishes what comes after.
   */
  readonly append: Append
  /**
   * The append is durable: the task takes its place in the queue. A caller that dies before it gets here loses nothing:
   * after a while the pool looks in the journal for what was admitted and not yet used.
   */
  readonly enqueue: Effect.Effect<void>
  /** Gives the place back; nothing has happened. */
  readonly release: Effect.Effect<void>
}

export const PoolStatus = Schema.Struct({
  permits: Schema.Int,
  running: Schema.Int,
  queued: Schema.Int,
  /** Longest the queue may be. */
  capacity: Schema.Int,
  /** Milliseconds that a task may wait. */
  patience: Schema.Int,
  /** Since the process started. */
  completed: Schema.Int,
  failed: Schema.Int,
  cancelled: Schema.Int,
  refused: Schema.Int
})
export type PoolStatus = typeof PoolStatus.Type

export interface ListWorkers {
  readonly sessionId?: SessionId | undefined
  readonly status?: WorkerStatus | undefined
  /** Only workers older than this one: the last of the page before. */
  readonly before?: WorkerId | undefined
  readonly limit: number
}

export class WorkerPool extends Context.Service<
  WorkerPool,
  {
    /** Takes a place in the queue, or refuses at once and changes nothing. */
    readonly admit: (task: Task) => Effect.Effect<Admission, PoolSaturated>
    /** Admits, journals and queues a task that no other event goes with. */
    readonly submit: (task: Task) => Effect.Effect<WorkerId, PoolSaturated | StorageError>
    /** Returns when the cancellation is durable and the worker's finalizers have run. */
    readonly cancel: (
      workerId: WorkerId,
      reason: string
    ) => Effect.Effect<void, WorkerNotFound | WorkerEnded | StorageError>
    readonly get: (workerId: WorkerId) => Effect.Effect<Worker, WorkerNotFound | StorageError>
    /** Newest first. */
    readonly list: (options: ListWorkers) => Effect.Effect<ReadonlyArray<WorkerSummary>, StorageError>
    readonly status: Effect.Effect<PoolStatus>
  }
>()("espalier/worker/WorkerPool") {}
