/**
 * The pool's memory: every worker that has not ended, where it stands, and who waits for its end.
 *
 * All changes happen in single, synchronous steps, so no fiber ever sees a worker half-way between two places. The
 * state belongs to the layer and not to the fibers that work on it: one of them may be killed at any instant and its
 * replacement finds everything where it was.
 */
import { type Clock, Deferred, Effect, Exit, Latch } from "effect"
import type { StorageError } from "../../services/journal/StorageError.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import type { Topic } from "../../services/events/Topic.ts"
import type { Waiting } from "../../services/worker/FairQueue.ts"
import { ProgressReports } from "../../services/worker/ProgressReports.ts"
import { Schedule } from "../../services/worker/Schedule.ts"
import type { Worker } from "../../services/worker/Worker.ts"
import type { WorkerEvent } from "../../services/worker/WorkerEvent.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import { PoolSaturated, WorkerNotFound } from "../../services/worker/WorkerPool.ts"

/** How a worker ended. */
export type End = Extract<WorkerEvent, { readonly _tag: "WorkerCompleted" | "WorkerFailed" | "WorkerCancelled" }>

/**
 * `admitted`: holds a place, its first event is the caller's to journal. `queued`: waits. `granted`: has a permit and
 * is about to start. `running`: its child runs it. `ending`: how it ends is decided and not yet durable.
 */
export type Phase = "admitted" | "queued" | "granted" | "running" | "ending" | "ended"

/** A worker that has not ended. */
export interface Entry {
  readonly id: WorkerId
  readonly topic: Topic
  readonly sessionId: SessionId
  /** As its durable events make it. */
  worker: Worker
  phase: Phase
  /** Whether its place still counts against the capacity, while it is admitted. */
  holdsPlace: boolean
  /** When the pool looks whether an admitted task has been forgotten by its caller. */
  leaseEndsAt: number
  waiting: Waiting<Entry> | undefined
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

/** Ends that are decided and not durable; beyond this many nothing is admitted, since the store is not keeping up. */
const maxUnsettled = 1000

export interface Limits {
  readonly permits: number
  readonly capacity: number
  /** Milliseconds. */
  readonly patience: number
  readonly lease: number
}

export class PoolState {
  readonly live = new Map<WorkerId, Entry>()
  readonly admitted = new Map<WorkerId, Entry>()
  /** Have their permit and wait for the dispatcher. */
  readonly granted = new Set<Entry>()
  /** Wait for the settler to make their end durable. */
  readonly unsettled = new Map<Entry, End>()
  readonly schedule: Schedule<Entry>
  completed = 0
  failed = 0
  cancelled = 0
  refused = 0

  /** Opened when there is something for the fiber that waits on it. */
  readonly toStart = Latch.makeUnsafe(false)
  readonly toSettle = Latch.makeUnsafe(false)
  readonly toExpire = Latch.makeUnsafe(false)
  readonly toReclaim = Latch.makeUnsafe(false)

  readonly limits: Limits
  private readonly clock: Clock.Clock

  constructor(limits: Limits, clock: Clock.Clock) {
    this.limits = limits
    this.clock = clock
    this.schedule = new Schedule({
      permits: limits.permits,
      capacity: limits.capacity,
      onGrant: (entry) => {
        entry.phase = "granted"
        this.granted.add(entry)
        this.toStart.openUnsafe()
      }
    })
  }

  /** Milliseconds of a clock that nobody sets: for waiting, never for showing. */
  get now(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe() / 1_000_000n)
  }

  get isFull(): boolean {
    return this.schedule.isFull || this.unsettled.size >= maxUnsettled
  }

  refuse(): PoolSaturated {
    this.refused++
    return new PoolSaturated({ running: this.schedule.running, queued: this.schedule.queued })
  }

  /** Holds a place for a new worker, if there is one. */
  admit(worker: Worker, topic: Topic): Entry | undefined {
    if (this.isFull || !this.schedule.reserve()) return undefined
    const entry = this.add(worker, topic, "admitted")
    entry.holdsPlace = true
    this.lease(entry)
    return entry
  }

  /** Another while for the caller of an admitted task to use its place. */
  lease(entry: Entry) {
    entry.leaseEndsAt = this.now + this.limits.lease
    this.admitted.delete(entry.id)
    this.admitted.set(entry.id, entry)
    this.toReclaim.openUnsafe()
  }

  /** The task is durable: it waits, even if its place was reclaimed in the meantime. */
  enqueue(entry: Entry) {
    if (entry.phase !== "admitted") return
    this.leaveAdmitted(entry)
    this.live.set(entry.id, entry)
    this.wait(entry, this.now + this.limits.patience)
  }

  /** Takes the place back from a caller that seems to have forgotten it; it may still come and use it. */
  reclaim(entry: Entry) {
    if (entry.phase === "admitted") this.leaveAdmitted(entry)
  }

  /** Nothing was journaled: there is no such worker. */
  forget(entry: Entry) {
    if (entry.phase !== "admitted") return
    this.leaveAdmitted(entry)
    entry.phase = "ended"
    Deferred.doneUnsafe(entry.ended, Exit.fail(new WorkerNotFound({ workerId: entry.id })))
  }

  /**
   * Takes in what a former process left open. Queued work waits anew with all its patience; work that was running is
   * before it in line and is not asked for patience, since it had its turn.
   */
  recover(worker: Worker, topic: Topic) {
    const entry = this.add(worker, topic, "queued")
    this.live.set(entry.id, entry)
    this.wait(entry, worker.status === "running" ? Infinity : this.now + this.limits.patience)
  }

  /** Ends what a former process left open and nobody may run again. */
  recoverEnded(worker: Worker, topic: Topic, end: End) {
    const entry = this.add(worker, topic, "queued")
    this.live.set(entry.id, entry)
    this.settle(entry, end)
  }

  /** Leaves the queue for good if it is still in it; the permit of one that is about to start is free again. */
  leaveQueue(entry: Entry): boolean {
    if (entry.phase === "queued" && entry.waiting !== undefined) return this.schedule.remove(entry.waiting)
    if (entry.phase !== "granted") return false
    this.granted.delete(entry)
    this.schedule.release()
    return true
  }

  /** Its child has come to life; false when it is not to run any more. */
  begin(entry: Entry): boolean {
    if (!this.granted.delete(entry)) return false
    entry.phase = "running"
    entry.reports = new ProgressReports()
    return true
  }

  /** Its child was interrupted from outside. It is next in line, unless its end is decided. */
  abandon(entry: Entry) {
    const end = entry.decided ?? this.cancellation(entry)
    if (end === undefined) {
      entry.phase = "queued"
      entry.waiting = this.schedule.requeue(entry.sessionId, entry)
    } else {
      this.schedule.release()
      this.settle(entry, end)
    }
  }

  /** How it ends is decided; the settler makes it durable. For workers that hold no permit. */
  settle(entry: Entry, end: End) {
    entry.phase = "ending"
    entry.waiting = undefined
    this.count(end)
    this.unsettled.set(entry, end)
    this.toSettle.openUnsafe()
  }

  /** The end of a running worker is durable. Whoever waits for it is told by `tell`. */
  finish(entry: Entry, end: End) {
    entry.phase = "ended"
    this.live.delete(entry.id)
    this.count(end)
    this.schedule.release()
  }

  /** The end of a worker that holds no permit is durable. */
  settled(entry: Entry, end: End) {
    entry.phase = "ended"
    this.unsettled.delete(entry)
    this.live.delete(entry.id)
    this.tell(entry, end)
  }

  tell(entry: Entry, end: End) {
    Deferred.doneUnsafe(entry.ended, Exit.succeed(end._tag))
  }

  /** Tells who waits for the end that the journal refuses it. It is tried again, and can be waited for again. */
  tellRefusal(entry: Entry, error: StorageError) {
    const waiters = entry.ended
    entry.ended = Deferred.makeUnsafe()
    Deferred.doneUnsafe(waiters, Exit.fail(error))
  }

  /** Nobody will be told of any end any more. */
  close() {
    for (const entry of [...this.live.values(), ...this.admitted.values()]) {
      Deferred.doneUnsafe(entry.ended, Effect.interrupt)
    }
  }

  private add(worker: Worker, topic: Topic, phase: Phase): Entry {
    return {
      id: worker.id,
      topic,
      sessionId: worker.sessionId,
      worker,
      phase,
      holdsPlace: false,
      leaseEndsAt: 0,
      waiting: undefined,
      reports: new ProgressReports(),
      cancelled: undefined,
      decided: undefined,
      stop: Deferred.makeUnsafe(),
      ended: Deferred.makeUnsafe()
    }
  }

  private wait(entry: Entry, expiresAt: number) {
    const end = this.cancellation(entry)
    if (end !== undefined) return this.settle(entry, end)
    entry.phase = "queued"
    entry.waiting = this.schedule.enqueue(entry.sessionId, entry, expiresAt)
    this.toExpire.openUnsafe()
  }

  private cancellation({ cancelled }: Entry): End | undefined {
    return cancelled === undefined ? undefined : { _tag: "WorkerCancelled", reason: cancelled }
  }

  private leaveAdmitted(entry: Entry) {
    this.admitted.delete(entry.id)
    if (entry.holdsPlace) this.schedule.unreserve()
    entry.holdsPlace = false
  }

  private count(end: End) {
    if (end._tag === "WorkerCompleted") this.completed++
    else if (end._tag === "WorkerFailed") this.failed++
    else this.cancelled++
  }
}

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
