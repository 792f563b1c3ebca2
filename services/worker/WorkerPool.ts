/**
 * Bounded pools of workers.
 *
 * Each named pool has permits with a bounded, fair queue in front of them. A task is admitted or refused at once;
 * admitted work is durable, runs at most `permits` at a time, and ends exactly once: completed, failed or cancelled.
 * A task that waits longer than the queue's patience fails without having started. After a crash of the process
 * queued work waits in the queue again; running work is run again if it is idempotent and otherwise fails as
 * interrupted.
 */
import { Context, type Effect, Schema } from "effect"
import type { InvalidInput } from "../InvalidInput.ts"
import type { Append } from "../journal/Journal.ts"
import type { StorageError } from "../journal/StorageError.ts"
import type { CallId, SessionId } from "../session/SessionId.ts"
import type { Tool } from "../tools/Tool.ts"
import type { NamedPool, PoolStatus } from "./PoolStatus.ts"
import type { Worker, WorkerStatus, WorkerSummary } from "./Worker.ts"
import { WorkerId } from "./WorkerId.ts"

/** All permits are in use and the queue is full. Safe to retry. */
export class PoolSaturated extends Schema.TaggedError<PoolSaturated>()("PoolSaturated", {
  pool: Schema.String,
  running: Schema.Int,
  queued: Schema.Int
}) {
  override get message() {
    return `the pool "${this.pool}" runs ${this.running} workers and ${this.queued} are waiting, which is all it takes; try again later`
  }
}

/** The task's session, or its key, has as much of the pool as it may. Nothing has happened; others are served. */
export class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", {
  pool: Schema.String,
  /** Whose quota it is. */
  of: Schema.Literals(["session", "key"]),
  /** The session's id, or the key. */
  name: Schema.String,
  quota: Schema.Literals(["running", "queued", "perMinute"]),
  limit: Schema.Int,
  /** Milliseconds after which a place is likely to be free. */
  retryAfter: Schema.Int
}) {
  override get message() {
    const whose = this.of === "session" ? `session ${this.name}` : `"${this.name}"`
    const what =
      this.quota === "running"
        ? `has ${this.limit} tasks running`
        : this.quota === "queued"
          ? `has ${this.limit} tasks waiting`
          : `was given ${this.limit} tasks within a minute`
    return `${whose} ${what} in the pool "${this.pool}", which is all it may; try again in ${Math.ceil(this.retryAfter / 1_000)} s`
  }
}

/** The pool ends what it has and takes nothing new, until it is resumed. */
export class PoolDraining extends Schema.TaggedError<PoolDraining>()("PoolDraining", { pool: Schema.String }) {
  override get message() {
    return `the pool "${this.pool}" is being drained and takes nothing new; "espalier pool resume ${this.pool}" opens it again`
  }
}

export class PoolNotFound extends Schema.TaggedError<PoolNotFound>()("PoolNotFound", {
  pool: Schema.String,
  available: Schema.Array(Schema.String)
}) {
  override get message() {
    return `no pool "${this.pool}"; there are ${this.available.join(", ")}`
  }
}

/** Why a pool takes no task: nothing has happened. */
export const PoolRefusal = Schema.Union([PoolSaturated, QuotaExceeded, PoolDraining, PoolNotFound])
export type PoolRefusal = typeof PoolRefusal.Type

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
  /** 0 to 9, 9 first, among the tasks of its session (default: the tool's own). */
  readonly priority?: number | undefined
  /** What quotas per key and the weight of its session go by, such as the kind of agent; a tool with a key goes by its own. */
  readonly key?: string | undefined
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

/** New sizes of a pool; what is not given stays. */
export interface Resize {
  readonly permits?: number | undefined
  readonly min?: number | undefined
  readonly max?: number | undefined
}

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
    /** Takes a place in the queue of the tool's pool, or refuses at once and changes nothing. */
    readonly admit: (task: Task) => Effect.Effect<Admission, PoolRefusal>
    /** Admits, journals and queues a task that no other event goes with. */
    readonly submit: (task: Task) => Effect.Effect<WorkerId, PoolRefusal | StorageError>
    /** Returns when the cancellation is durable and the worker's finalizers have run. */
    readonly cancel: (
      workerId: WorkerId,
      reason: string
    ) => Effect.Effect<void, WorkerNotFound | WorkerEnded | StorageError>
    readonly get: (workerId: WorkerId) => Effect.Effect<Worker, WorkerNotFound | StorageError>
    /** Newest first. */
    readonly list: (options: ListWorkers) => Effect.Effect<ReadonlyArray<WorkerSummary>, StorageError>
    readonly status: Effect.Effect<PoolStatus>
    /** What runs and waits in all pools together. */
    readonly load: Effect.Effect<{ readonly running: number; readonly queued: number }>
    /** Holds until the process stops. What runs beyond fewer permits goes on to its end. */
    readonly resize: (pool: string, size: Resize) => Effect.Effect<NamedPool, PoolNotFound | InvalidInput>
    /** Starts nothing more until it is resumed; tasks are still taken, wait, and may outwait their patience. */
    readonly pause: (pool: string) => Effect.Effect<NamedPool, PoolNotFound>
    /** Takes nothing more until it is resumed, and runs what it has. */
    readonly drain: (pool: string) => Effect.Effect<NamedPool, PoolNotFound>
    readonly resume: (pool: string) => Effect.Effect<NamedPool, PoolNotFound>
  }
>()("espalier/worker/WorkerPool") {}
