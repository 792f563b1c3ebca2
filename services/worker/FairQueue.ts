/**
 * A queue that is fair between keys: keys take turns, and within a key it is first in, first out. A key that sends a
 * thousand items delays another key's next item by one.
 *
 * Adding, taking, removing from the middle and asking for the longest waiting item cost the same whatever waits: items
 * are links of two chains, their key's lane and the order of arrival, and lanes form a third.
 */

/** An item in its place in line. */
export interface Waiting<A> {
  readonly value: A
  readonly key: string
  /** When its patience is over, on the caller's clock; `Infinity` for an item that waits as long as it takes. */
  readonly expiresAt: number
}

interface Lane<A> {
  readonly key: string
  first: Link<A> | undefined
  last: Link<A> | undefined
  before: Lane<A> | undefined
  after: Lane<A> | undefined
}

class Link<A> implements Waiting<A> {
  /** Undefined once it has left the queue. */
  lane: Lane<A> | undefined
  before: Link<A> | undefined
  after: Link<A> | undefined
  older: Link<A> | undefined
  younger: Link<A> | undefined

  readonly value: A
  readonly key: string
  readonly expiresAt: number

  constructor(value: A, key: string, expiresAt: number) {
    this.value = value
    this.key = key
    this.expiresAt = expiresAt
  }
}

export class FairQueue<A> {
  private count = 0
  private readonly lanes = new Map<string, Lane<A>>()
  /** Lanes in the order of their turns. */
  private firstLane: Lane<A> | undefined
  private lastLane: Lane<A> | undefined
  /** Items with an end of patience, in the order they arrived. */
  private oldest: Link<A> | undefined
  private youngest: Link<A> | undefined

  get size(): number {
    return this.count
  }

  /** Adds an item behind the others of its key. `expiresAt` must not fall from one call to the next. */
  push(key: string, value: A, expiresAt: number): Waiting<A> {
    const link = new Link(value, key, expiresAt)
    const lane = this.lanes.get(key) ?? this.openLane(key, false)
    link.lane = lane
    link.before = lane.last
    if (lane.last === undefined) lane.first = link
    else lane.last.after = link
    lane.last = link
    if (expiresAt !== Infinity) {
      link.older = this.youngest
      if (this.youngest === undefined) this.oldest = link
      else this.youngest.younger = link
      this.youngest = link
    }
    this.count++
    return link
  }

  /** Puts an item before all others: work that had its turn and could not use it. It waits as long as it takes. */
  unshift(key: string, value: A): Waiting<A> {
    const link = new Link(value, key, Infinity)
    let lane = this.lanes.get(key)
    if (lane === undefined) lane = this.openLane(key, true)
    else if (lane !== this.firstLane) {
      this.unlinkLane(lane)
      this.linkLane(lane, true)
    }
    link.lane = lane
    link.after = lane.first
    if (lane.first === undefined) lane.last = link
    else lane.first.before = link
    lane.first = link
    this.count++
    return link
  }

  /** Takes the next item of the key whose turn it is. */
  take(): A | undefined {
    const lane = this.firstLane
    const link = lane?.first
    if (lane === undefined || link === undefined) return undefined
    this.unlink(link, lane)
    if (lane.first !== undefined && lane !== this.lastLane) {
      this.unlinkLane(lane)
      this.linkLane(lane, false)
    }
    return link.value
  }

  /** Takes an item out of the middle; false when it had left already. */
  remove(waiting: Waiting<A>): boolean {
    if (!(waiting instanceof Link) || waiting.lane === undefined) return false
    this.unlink(waiting, waiting.lane)
    return true
  }

  /** Of the items whose patience ends, the one for which it ends first. */
  get nextToExpire(): Waiting<A> | undefined {
    return this.oldest
  }

  private unlink(link: Link<A>, lane: Lane<A>) {
    if (link.before === undefined) lane.first = link.after
    else link.before.after = link.after
    if (link.after === undefined) lane.last = link.before
    else link.after.before = link.before
    if (link.expiresAt !== Infinity) {
      if (link.older === undefined) this.oldest = link.younger
      else link.older.younger = link.younger
      if (link.younger === undefined) this.youngest = link.older
      else link.younger.older = link.older
    }
    // A link that someone still holds must not keep others alive.
    link.lane = link.before = link.after = link.older = link.younger = undefined
    if (lane.first === undefined) {
      this.unlinkLane(lane)
      this.lanes.delete(lane.key)
    }
    this.count--
  }

  private openLane(key: string, atFront: boolean): Lane<A> {
    const lane: Lane<A> = { key, first: undefined, last: undefined, before: undefined, after: undefined }
    this.lanes.set(key, lane)
    this.linkLane(lane, atFront)
    return lane
  }

  private linkLane(lane: Lane<A>, atFront: boolean) {
    if (atFront) {
      lane.after = this.firstLane
      if (this.firstLane === undefined) this.lastLane = lane
      else this.firstLane.before = lane
      this.firstLane = lane
    } else {
      lane.before = this.lastLane
      if (this.lastLane === undefined) this.firstLane = lane
      else this.lastLane.after = lane
      this.lastLane = lane
    }
  }

  private unlinkLane(lane: Lane<A>) {
    if (lane.before === undefined) this.firstLane = lane.after
    else lane.before.after = lane.after
    if (lane.after === undefined) this.lastLane = lane.before
    else lane.after.before = lane.before
    lane.before = lane.after = undefined
  }
}
