/** A worker that has not ended, as the pool holds it. */
import { Deferred } from "effect"
import type { Topic } from "../../services/events/Topic.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import type { Waiting } from "../../services/worker/FairQueue.ts"
import { ProgressReports } from "../../services/worker/ProgressReports.ts"
import type { Ticket } from "../../services/worker/Ticket.ts"
import type { Worker } from "../../services/worker/Worker.ts"
import type { WorkerEvent } from "../../services/worker/WorkerEvent.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import type { WorkerNotFound } from "../../services/worker/WorkerPool.ts"
import type { PoolPart } from "./PoolPart.ts"

/** How a worker ended. */
export type End = Extract<WorkerEvent, { readonly _tag: "WorkerCompleted" | "WorkerFailed" | "WorkerCancelled" }>

/**
 * `admitted`: holds a place, its first event is the caller's to journal. `queued`: waits. `granted`: has a permit and
 * is about to start. `running`: its child runs it. `ending`: how it ends is decided and not yet durable.
 */
export type Phase = "admitted" | "queued" | "granted" | "running" | "ending" | "ended"

/** The pool that workers belong to. */
export type Part = PoolPart<Entry>

/** A worker that has not ended. */
export interface Entry {
  readonly id: WorkerId
  readonly topic: Topic
  readonly sessionId: SessionId
  /** The pool it belongs to, and its place in line there. */
  readonly part: Part
  readonly ticket: Ticket
  /** As its durable events make it. */
  worker: Worker
  phase: Phase
  /** Whether its place still counts against the capacity, while it is admitted. */
  holdsPlace: boolean
  /** When the pool looks whether an admitted task has been forgotten by its caller. */
  leaseEndsAt: number
  waiting: Waiting<Entry> | undefined
  /** Since when it waits, and since when it runs, on the clock of `PoolState.now`. */
  waitsSince: number
  runsSince: number
  reports: ProgressReports
  /** Why it was cancelled, once it was. */
  cancelled: string | undefined
  /** How a running worker ends, once that is decided. */
  decided: End | undefined
  /** Resolved when it is cancelled. */
  readonly stop: Deferred.Deferred<string>
  /** Resolved when its end is durable; fails when the journal refused it, and is then replaced. */
  ended: Deferred.Deferred<End["_tag"], StorageError | WorkerNotFound>
}

export const make = (part: Part, ticket: Ticket, worker: Worker, topic: Topic, phase: Phase): Entry => ({
  id: worker.id,
  topic,
  sessionId: worker.sessionId,
  part,
  ticket,
  worker,
  phase,
  holdsPlace: false,
  leaseEndsAt: 0,
  waiting: undefined,
  waitsSince: 0,
  runsSince: 0,
  reports: new ProgressReports(),
  cancelled: undefined,
  decided: undefined,
  stop: Deferred.makeUnsafe(),
  ended: Deferred.makeUnsafe()
})

/** A worker as it is now: what is durable, and what it has reported since. */
export const view = (entry: Entry): Worker => {
  if (entry.phase !== "running") {
    return entry.phase === "ending" || entry.worker.status === "queued"
      ? entry.worker
      : { ...entry.worker, status: "queued" }
  }
  return entry.worker.status === "running"
    ? { ...entry.worker, percent: entry.reports.percent, stage: entry.reports.stage }
    : entry.worker
}
