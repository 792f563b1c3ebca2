/**
 * Who may run now, and who waits: a counting semaphore with a bounded, fair queue in front of it. Pure bookkeeping
 * without a clock, a fiber or a journal; every operation costs the same whatever waits.
 *
 * Held at every instant: never more than `permits` running; nobody waits while a permit is free; what was admitted is
 * never more than `permits + capacity`, places that are held but not yet used included, so the queue is never longer
 * than its capacity. Only work that was accepted before a crash may exceed that, for it is never refused.
 */
import { FairQueue, type Waiting } from "./FairQueue.ts"

export class Schedule<A> {
  private readonly queue = new FairQueue<A>()
  private taken = 0
  private held = 0

  readonly permits: number
  readonly capacity: number
  private readonly onGrant: (value: A) => void

  /** `onGrant` is told at once, within the call that made it possible, of each item that got its permit. */
  constructor(options: { readonly permits: number; readonly capacity: number; readonly onGrant: (value: A) => void }) {
    this.permits = options.permits
    this.capacity = options.capacity
    this.onGrant = options.onGrant
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

  get isFull(): boolean {
    return this.taken + this.queue.size + this.held >= this.permits + this.capacity
  }

  /** Holds a place; false when there is none. */
  reserve(): boolean {
    if (this.isFull) return false
    this.held++
    return true
  }

  /** Gives a held place back. */
  unreserve() {
    this.held--
  }

  /** Queues an item that needs no held place, or whose place has been given back in the same breath. */
  enqueue(key: string, value: A, expiresAt: number): Waiting<A> {
    const waiting = this.queue.push(key, value, expiresAt)
    this.grant()
    return waiting
  }

  /** Gives a permit back together with the item that held it, which is the next to get one. */
  requeue(key: string, value: A): Waiting<A> {
    this.taken--
    const waiting = this.queue.unshift(key, value)
    this.grant()
    return waiting
  }

  /** Leaves the queue; false when the item is not waiting any more. */
  remove(waiting: Waiting<A>): boolean {
    return this.queue.remove(waiting)
  }

  /** Gives a permit back. */
  release() {
    this.taken--
    this.grant()
  }

  /** The next item whose patience ends. */
  get nextToExpire(): Waiting<A> | undefined {
    return this.queue.nextToExpire
  }

  private grant() {
    while (this.taken < this.permits && this.queue.size > 0) {
      const value = this.queue.take()
      if (value === undefined) return
      this.taken++
      this.onGrant(value)
    }
  }
}
