/**
 * The pool's memory: every worker that has not ended, where it stands, and who waits for its end.
 *
 * All changes happen in single, synchronous steps, so no fiber ever sees a worker half-way between two places. The
 * state belongs to the layer and not to the fibers that work on it: one of them may be killed at any instant and its
 * replacement finds everything where it was.
 */
import { type Clock, Deferred, Effect, Exit, Latch } from "effect"
import type { StorageError } from "../../services/journal/StorageError.ts"
import type { Topic } from "../../services/events/Topic.ts"
import type { PoolEvent, ResizedBy } from "../../services/worker/PoolEvent.ts"
import { defaultPool, type PoolLimits } from "../../services/worker/PoolLimits.ts"
import { ProgressReports } from "../../services/worker/ProgressReports.ts"
import type { Refusal } from "../../services/worker/Schedule.ts"
import { defaultPriority, lineOf, sessionOf, type Ticket } from "../../services/worker/Ticket.ts"
import type { Worker } from "../../services/worker/Worker.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import {
  PoolDraining,
  PoolSaturated,
  QuotaExceeded,
  type Task,
  WorkerNotFound
} from "../../services/worker/WorkerPool.ts"
import { PoolPart } from "./PoolPart.ts"
import { type End, type Entry, make as makeEntry, type Part } from "./PoolEntry.ts"

/** Ends that are decided and not durable; beyond this many nothing is admitted, since the store is not keeping up. */
const maxUnsettled = 1000

/** Events that are not told yet; while nobody takes them the oldest go. */
const maxUntold = 1000

export interface Settings {
  readonly pools: ReadonlyMap<string, PoolLimits>
  /** Milliseconds that a caller may hold a place before the pool looks whether it was forgotten. */
  readonly lease: number
}

export class PoolState {
  readonly live = new Map<WorkerId, Entry>()
  readonly admitted = new Map<WorkerId, Entry>()
  /** Have their permit and wait for the dispatcher. */
  readonly granted = new Set<Entry>()
  /** Wait for the settler to make their end durable. */
  readonly unsettled = new Map<Entry, End>()
  /** The pools by name. */
  readonly parts: ReadonlyMap<string, Part>
  /** The one that everything runs on that names no other. */
  readonly main: Part
  /** Wait to be published. */
  untold: Array<PoolEvent> = []

  /** Opened when there is something for the fiber that waits on it. */
  readonly toStart = Latch.makeUnsafe(false)
  readonly toSettle = Latch.makeUnsafe(false)
  readonly toExpire = Latch.makeUnsafe(false)
  readonly toReclaim = Latch.makeUnsafe(false)
  readonly toTell = Latch.makeUnsafe(false)
  readonly toScale = Latch.makeUnsafe(false)

  private readonly leaseOf: number
  private readonly clock: Clock.Clock

  constructor({ lease, pools }: Settings, clock: Clock.Clock) {
    this.leaseOf = lease
    this.clock = clock
    const onGrant = (entry: Entry) => {
      entry.phase = "granted"
      entry.part.waits.add(this.now - entry.waitsSince)
      this.granted.add(entry)
      this.toStart.openUnsafe()
    }
    this.parts = new Map(Array.from(pools, ([name, limits]) => [name, new PoolPart(name, limits, onGrant)]))
    const main = this.parts.get(defaultPool)
    if (main === undefined) throw new Error(`there is no pool "${defaultPool}"`)
    this.main = main
  }

  /** Milliseconds of a clock that nobody sets: for waiting, never for showing. */
  get now(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe() / 1_000_000n)
  }

  /** What runs and waits in all pools together. */
  get load() {
    let running = 0
    let queued = 0
    for (const { schedule } of this.parts.values()) {
      running += schedule.running
      queued += schedule.queued
    }
    return { running, queued }
  }

  /** Where the task would stand in line. */
  ticketOf(part: Part, { key, priority, sessionId }: Pick<Task, "sessionId" | "key" | "priority">): Ticket {
    return {
      session: lineOf(sessionId, key, part.limits.apart),
      key,
      priority: priority ?? defaultPriority,
      weight: key === undefined ? 1 : (part.limits.weights.get(key) ?? 1)
    }
  }

  /** Why nothing more is taken of it now, if so; counted, for it is about to be told. */
  refuse(part: Part, ticket: Ticket): PoolSaturated | QuotaExceeded | PoolDraining | undefined {
    if (part.mode === "draining") {
      part.refused++
      return new PoolDraining({ pool: part.name })
    }
    const refusal: Refusal | undefined =
      this.unsettled.size >= maxUnsettled ? { _tag: "Full" } : part.schedule.refusal(ticket)
    if (refusal === undefined) return undefined
    part.refused++
    const { name: pool, retryAfter } = part
    const { queued, running } = part.schedule
    if (refusal._tag === "Full") return new PoolSaturated({ pool, running, queued })
    const { limit, of, quota } = refusal
    return new QuotaExceeded({ pool, of, name: nameOf(ticket, of), quota, limit, retryAfter })
  }

  /** Holds a place for a new worker that was just found not to be refused. */
  admit(part: Part, ticket: Ticket, worker: Worker, topic: Topic): Entry {
    part.schedule.reserve(ticket)
    const entry = makeEntry(part, ticket, worker, topic, "admitted")
    entry.holdsPlace = true
    this.lease(entry)
    return entry
  }

  /** Another while for the caller of an admitted task to use its place. */
  lease(entry: Entry) {
    entry.leaseEndsAt = this.now + this.leaseOf
    this.admitted.delete(entry.id)
    this.admitted.set(entry.id, entry)
    this.toReclaim.openUnsafe()
  }

  /** The task is durable: it waits, even if its place was reclaimed in the meantime. */
  enqueue(entry: Entry) {
    if (entry.phase !== "admitted") return
    this.leaveAdmitted(entry)
    this.live.set(entry.id, entry)
    this.wait(entry, this.now + entry.part.limits.patience)
  }

  /** Takes the place back from a caller that seems to have forgotten it; it may still come and use it. */
  reclaim(entry: Entry) {
    if (entry.phase !== "admitted") return
    this.leaveAdmitted(entry)
    this.noticeDrained(entry.part)
  }

  /** Nothing was journaled: there is no such worker. */
  forget(entry: Entry) {
    if (entry.phase !== "admitted") return
    this.leaveAdmitted(entry)
    entry.phase = "ended"
    this.noticeDrained(entry.part)
    Deferred.doneUnsafe(entry.ended, Exit.fail(new WorkerNotFound({ workerId: entry.id })))
  }

  /**
   * Takes in what a former process left open. Queued work waits anew with all its patience; work that was running is
   * before it in line and is not asked for patience, since it had its turn.
   */
  recover(worker: Worker, topic: Topic) {
    const entry = this.addRecovered(worker, topic)
    this.wait(entry, worker.status === "running" ? Infinity : this.now + entry.part.limits.patience)
  }

  /** Ends what a former process left open and nobody may run again. */
  recoverEnded(worker: Worker, topic: Topic, end: End) {
    this.settle(this.addRecovered(worker, topic), end)
  }

  /** Leaves the queue for good if it is still in it; the permit of one that is about to start is free again. */
  leaveQueue(entry: Entry): boolean {
    if (entry.phase === "queued" && entry.waiting !== undefined) return entry.part.schedule.remove(entry.waiting)
    if (entry.phase !== "granted") return false
    this.granted.delete(entry)
    entry.part.schedule.release(entry.ticket)
    return true
  }

  /** Its child has come to life; false when it is not to run any more. */
  begin(entry: Entry): boolean {
    if (!this.granted.delete(entry)) return false
    entry.phase = "running"
    entry.runsSince = this.now
    entry.reports = new ProgressReports()
    return true
  }

  /** Its child was interrupted from outside. It is next in line, unless its end is decided. */
  abandon(entry: Entry) {
    const end = entry.decided ?? this.cancellation(entry)
    if (end === undefined) {
      entry.phase = "queued"
      entry.waitsSince = this.now
      entry.waiting = entry.part.schedule.requeue(entry.ticket, entry)
    } else {
      entry.part.schedule.release(entry.ticket)
      this.settle(entry, end)
    }
  }

  /** How it ends is decided; the settler makes it durable. For workers that hold no permit. */
  settle(entry: Entry, end: End) {
    entry.phase = "ending"
    entry.waiting = undefined
    this.count(entry, end)
    this.unsettled.set(entry, end)
    this.toSettle.openUnsafe()
  }

  /** The end of a running worker is durable. Whoever waits for it is told by `tell`. */
  finish(entry: Entry, end: End) {
    entry.phase = "ended"
    this.live.delete(entry.id)
    this.count(entry, end)
    entry.part.ran(this.now - entry.runsSince)
    entry.part.schedule.release(entry.ticket)
    this.noticeDrained(entry.part)
  }

  /** The end of a worker that holds no permit is durable. */
  settled(entry: Entry, end: End) {
    entry.phase = "ended"
    this.unsettled.delete(entry)
    this.live.delete(entry.id)
    this.noticeDrained(entry.part)
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

  /** Sets a pool's permits, says so, and has it looked after. */
  resize(part: Part, to: number, by: ResizedBy, reason: string) {
    const { from } = part.resize(to, by, reason, this.clock.currentTimeMillisUnsafe())
    this.say({ _tag: "PoolResized", pool: part.name, from, to, by, reason })
  }

  setMode(part: Part, mode: Part["mode"]) {
    if (part.mode === mode) return
    part.mode = mode
    part.isDrained = false
    if (mode === "paused") part.schedule.pause()
    const { queued, running } = part.schedule
    this.say(
      mode === "paused"
        ? { _tag: "PoolPaused", pool: part.name }
        : mode === "open"
          ? { _tag: "PoolResumed", pool: part.name }
          : { _tag: "PoolDraining", pool: part.name, running, queued }
    )
    if (mode !== "paused") part.schedule.resume()
    this.noticeDrained(part)
  }

  private noticeDrained(part: Part) {
    if (part.mode !== "draining" || part.isDrained || !part.isIdle) return
    part.isDrained = true
    this.say({ _tag: "PoolDrained", pool: part.name })
  }

  private say(event: PoolEvent) {
    this.untold.push(event)
    if (this.untold.length > maxUntold) this.untold.shift()
    this.toTell.openUnsafe()
  }

  /** A pool that is not there any more has left its work to the main one. */
  private addRecovered(worker: Worker, topic: Topic): Entry {
    const part = this.parts.get(worker.pool) ?? this.main
    const entry = makeEntry(part, this.ticketOf(part, worker), worker, topic, "queued")
    this.live.set(entry.id, entry)
    return entry
  }

  private wait(entry: Entry, expiresAt: number) {
    const end = this.cancellation(entry)
    if (end !== undefined) return this.settle(entry, end)
    entry.phase = "queued"
    entry.waitsSince = this.now
    entry.part.arrived++
    entry.waiting = entry.part.schedule.enqueue(entry.ticket, entry, expiresAt)
    this.toExpire.openUnsafe()
  }

  private cancellation({ cancelled }: Entry): End | undefined {
    return cancelled === undefined ? undefined : { _tag: "WorkerCancelled", reason: cancelled }
  }

  private leaveAdmitted(entry: Entry) {
    this.admitted.delete(entry.id)
    if (entry.holdsPlace) entry.part.schedule.unreserve(entry.ticket)
    entry.holdsPlace = false
  }

  private count({ part }: Entry, end: End) {
    if (end._tag === "WorkerCompleted") part.completed++
    else if (end._tag === "WorkerFailed") part.failed++
    else part.cancelled++
  }
}

const nameOf = ({ key, session }: Ticket, of: "session" | "key"): string =>
  of === "session" ? sessionOf(session) : (key ?? "")
