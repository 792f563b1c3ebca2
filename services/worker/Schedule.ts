/**
 * Who may run now, and who waits: permits with a bounded, fair queue in front of them. Pure bookkeeping without a clock,
 * a fiber or a journal; every operation costs the same whatever waits.
 *
 * Held at every instant: nothing starts beyond the permits; nobody whose quota lets it run waits while a permit is free
 * and the schedule is not paused; and nothing is admitted, places that are held but not yet used included, that would
 * make the queue longer than its capacity. Only work that was accepted before may exceed that, for it is never refused.
 *
 * While more than `overflowAbove` wait, each of them beyond that mark may have a permit of its own, up to `overflow` in
 * all. Such a permit is not passed on: it is gone when its task ends, unless still more than the mark wait.
 */
import { FairQueue, type Share, type Waiting } from "./FairQueue.ts"
import type { Ticket } from "./Ticket.ts"

/** What one session, or one key, may have. */
export interface Quota {
  /** Tasks that run at a time; further ones wait. */
  readonly running: number
  /** Tasks that wait; further ones are refused. */
  readonly queued: number
}

export const unlimited: Quota = { running: Infinity, queued: Infinity }

/** One object for all that limit nothing: what they would limit is not even counted. */
const orUnlimited = (quota: Quota = unlimited): Quota =>
  quota.running === Infinity && quota.queued === Infinity ? unlimited : quota

export interface Options<A> {
  readonly permits: number
  readonly capacity: number
  readonly overflow?: number
  /** Default: half the capacity. */
  readonly overflowAbove?: number
  readonly perSession?: Quota
  readonly perKey?: Quota
  /** Told at once, within the call that made it possible, of each item that got its permit. */
  readonly onGrant: (value: A) => void
}

/** Why nothing more is taken of a ticket: all places are in use, or those of its session or its key. */
export type Refusal =
  | { readonly _tag: "Full" }
  | {
      readonly _tag: "Quota"
      readonly of: "session" | "key"
      readonly quota: "running" | "queued"
      readonly limit: number
    }

const full: Refusal = { _tag: "Full" }

/** How many places are held of each name; kept only where a quota asks for it. */
class Tally {
  private readonly counts = new Map<string, number>()

  get(name: string): number {
    return this.counts.get(name) ?? 0
  }

  add(name: string, change: number) {
    const count = this.get(name) + change
    if (count === 0) this.counts.delete(name)
    else this.counts.set(name, count)
  }
}

export class Schedule<A> {
  private readonly queue: FairQueue<A>
  private taken = 0
  private held = 0
  private readonly heldOfSession = new Tally()
  private readonly heldOfKey = new Tally()
  private limit: number
  private stopped = false

  readonly capacity: number
  readonly overflow: number
  readonly overflowAbove: number
  private readonly perSession: Quota
  private readonly perKey: Quota
  private readonly onGrant: (value: A) => void

  constructor(options: Options<A>) {
    this.limit = options.permits
    this.capacity = options.capacity
    this.overflow = options.overflow ?? 0
    this.overflowAbove = options.overflowAbove ?? Math.floor(options.capacity / 2)
    this.perSession = orUnlimited(options.perSession)
    this.perKey = orUnlimited(options.perKey)
    this.queue = new FairQueue({ perSession: this.perSession.running, perKey: this.perKey.running })
    this.onGrant = options.onGrant
  }

  get permits(): number {
    return this.limit
  }

  get running(): number {
    return this.taken
  }

  get queued(): number {
    return this.queue.size
  }

  /** Places held by callers that have not used them yet. */
  get reserved(): number {
    return this.held
  }

  get isPaused(): boolean {
    return this.stopped
  }

  /** What each session has in it, in no order. */
  sessions(): Iterable<Share & { readonly session: string }> {
    return this.queue.sessions()
  }

  /** Why nothing more is taken of it now, if so. */
  refusal({ key, session }: Ticket): Refusal | undefined {
    const free = this.stopped ? 0 : Math.max(0, this.limit - this.taken)
    const ofSession =
      this.perSession === unlimited
        ? undefined
        : standing(this.queue.ofSession(session), this.heldOfSession.get(session), this.perSession, free)
    const ofKey =
      this.perKey === unlimited || key === undefined
        ? undefined
        : standing(this.queue.ofKey(key), this.heldOfKey.get(key), this.perKey, free)
    // What a quota holds back waits, however much is free.
    const starting = ofSession?.isHeldBack === true || ofKey?.isHeldBack === true ? 0 : free
    if (this.queue.size + this.held >= this.capacity + starting) return full
    if (ofSession?.isOver === true) return over("session", this.perSession)
    if (ofKey?.isOver === true) return over("key", this.perKey)
    return undefined
  }

  /** Holds a place, or says why there is none. */
  reserve(ticket: Ticket): Refusal | undefined {
    const refusal = this.refusal(ticket)
    if (refusal === undefined) this.hold(ticket, 1)
    return refusal
  }

  /** Gives a held place back. */
  unreserve(ticket: Ticket) {
    this.hold(ticket, -1)
  }

  /** Queues an item that needs no held place, or whose place has been given back in the same breath. */
  enqueue(ticket: Ticket, value: A, expiresAt: number): Waiting<A> {
    const waiting = this.queue.push(ticket, value, expiresAt)
    this.grant()
    return waiting
  }

  /** Gives a permit back together with the item that held it, which is the next to get one. */
  requeue(ticket: Ticket, value: A): Waiting<A> {
    this.taken--
    const waiting = this.queue.giveBack(ticket, value)
    this.grant()
    return waiting
  }

  /** Leaves the queue; false when the item is not waiting any more. */
  remove(waiting: Waiting<A>): boolean {
    const isRemoved = this.queue.remove(waiting)
    // What it kept from its turn, by its place or its key, may be next now.
    if (isRemoved) this.grant()
    return isRemoved
  }

  /** Gives a permit back. */
  release(ticket: Ticket) {
    this.taken--
    this.queue.end(ticket)
    this.grant()
  }

  /** What runs beyond fewer permits goes on to its end. */
  resize(permits: number) {
    this.limit = permits
    this.grant()
  }

  /** Starts nothing until it is resumed. What runs goes on, and what comes waits. */
  pause() {
    this.stopped = true
  }

  resume() {
    this.stopped = false
    this.grant()
  }

  /** The next item whose patience ends. */
  get nextToExpire(): Waiting<A> | undefined {
    return this.queue.nextToExpire
  }

  private hold(ticket: Ticket, change: number) {
    this.held += change
    if (this.perSession !== unlimited) this.heldOfSession.add(ticket.session, change)
    if (this.perKey !== unlimited && ticket.key !== undefined) this.heldOfKey.add(ticket.key, change)
  }

  private get isOpen(): boolean {
    if (this.stopped || this.queue.size === 0) return false
    return this.taken < this.limit + (this.queue.size > this.overflowAbove ? this.overflow : 0)
  }

  private grant() {
    while (this.isOpen) {
      const next = this.queue.take()
      if (next === undefined) return
      this.taken++
      this.onGrant(next.value)
    }
  }
}

/** Whether one more would have to wait for its own quota, and whether so many wait already that it may not. */
const standing = ({ queued, running }: Share, held: number, quota: Quota, free: number) => {
  const waiting = queued + held
  const left = Math.max(0, quota.running - running)
  return { isHeldBack: waiting >= left, isOver: waiting >= quota.queued + Math.min(free, left) }
}

const over = (of: "session" | "key", quota: Quota): Refusal =>
  quota.queued === 0 && quota.running !== Infinity
    ? { _tag: "Quota", of, quota: "running", limit: quota.running }
    : { _tag: "Quota", of, quota: "queued", limit: quota.queued }
