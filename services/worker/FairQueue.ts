/**
 * A queue that is fair between sessions: they take turns, each as many in a row as its weight, so a session that sends
 * a thousand tasks delays another one's next task by one round. Which of a session's tasks gets its turn is its
 * `Lane`'s to say.
 *
 * Quotas hold back what may not run yet: a session that runs as many as it may loses its turns until one ends, and so
 * does one whose next task is of a key that runs as many as it may. Others go on meanwhile, and those that a key holds
 * back come on in the order in which they were.
 *
 * Adding, taking, removing from the middle, ending, and asking whose patience ends next cost the same whatever waits.
 */
import { Chain } from "./Chain.ts"
import { Expiry, Key, Lane, Link, type Waiting } from "./Lane.ts"
import type { Ticket } from "./Ticket.ts"

export type { Waiting } from "./Lane.ts"

/** Tasks of one session, and of one key, that may run at a time. */
export interface RunningQuotas {
  readonly perSession: number
  readonly perKey: number
}

/** What a session or a key has in the queue. */
export interface Share {
  readonly running: number
  readonly queued: number
}

const nothing: Share = { running: 0, queued: 0 }

export class FairQueue<A> {
  private count = 0
  private readonly lanes = new Map<string, Lane<A>>()
  private readonly keys = new Map<string, Key<A>>()
  /** Lanes that may take a task, in the order of their turns. */
  private readonly ring = new Chain<Lane<A>>()
  private readonly expiring = new Chain<Expiry<A>>()

  readonly quotas: RunningQuotas

  constructor(quotas: RunningQuotas = { perSession: Infinity, perKey: Infinity }) {
    this.quotas = quotas
  }

  get size(): number {
    return this.count
  }

  /** Of the tasks whose patience ends, the one for which it ends first. */
  get nextToExpire(): Waiting<A> | undefined {
    return this.expiring.first?.link
  }

  ofSession(session: string): Share {
    return this.lanes.get(session) ?? nothing
  }

  ofKey(key: string): Share {
    return this.keys.get(key) ?? nothing
  }

  /** What each session has, as many sessions as there are. */
  sessions(): Iterable<Share & { readonly session: string }> {
    return this.lanes.values()
  }

  /** Adds a task in its place. `expiresAt` must not fall from one call to the next. */
  push(ticket: Ticket, value: A, expiresAt: number): Waiting<A> {
    const link = new Link(value, ticket, expiresAt)
    if (expiresAt !== Infinity) {
      link.expiry = new Expiry(link)
      this.expiring.append(link.expiry)
    }
    const lane = this.enter(ticket)
    lane.add(link)
    this.place(lane)
    return link
  }

  /** Gives back a task that was taken: it is the next of all, and waits as long as it takes. */
  giveBack(ticket: Ticket, value: A): Waiting<A> {
    const link = new Link(value, ticket, Infinity)
    const lane = this.enter(ticket)
    const key = this.keyOf(ticket)
    lane.running--
    if (key !== undefined) key.running--
    lane.addFirst(link)
    this.place(lane)
    if (lane.standing === "ready") {
      this.ring.remove(lane)
      this.ring.prepend(lane)
    }
    if (key !== undefined) this.comeOn(key)
    return link
  }

  /** Takes the next task of the session whose turn it is; nothing when all that wait are held back. */
  take(): Waiting<A> | undefined {
    const lane = this.ring.first
    const link = lane?.next
    if (lane === undefined || link === undefined) return undefined
    const key = this.keyOf(link.ticket)
    this.leave(link, lane)
    lane.passTurn()
    lane.running++
    if (key !== undefined) key.running++
    if (--lane.credit <= 0) {
      this.ring.remove(lane)
      this.ring.append(lane)
      lane.credit = lane.weight
    }
    this.place(lane)
    return link
  }

  /** A task that was taken has ended. */
  end(ticket: Ticket) {
    const lane = this.lanes.get(ticket.session)
    if (lane === undefined) return
    const key = this.keyOf(ticket)
    lane.running--
    if (key !== undefined) {
      key.running--
      this.comeOn(key)
    }
    this.place(lane)
    this.forget(key)
  }

  /** Takes a task out wherever it stands; false when it had left already. */
  remove(waiting: Waiting<A>): boolean {
    if (!(waiting instanceof Link) || waiting.lane === undefined) return false
    const lane: Lane<A> = waiting.lane
    this.leave(waiting, lane)
    this.place(lane)
    this.forget(this.keyOf(waiting.ticket))
    return true
  }

  private enter(ticket: Ticket): Lane<A> {
    let lane = this.lanes.get(ticket.session)
    if (lane === undefined) this.lanes.set(ticket.session, (lane = new Lane(ticket.session)))
    const key = this.keyOf(ticket)
    if (key !== undefined) key.queued++
    this.count++
    return lane
  }

  private leave(link: Link<A>, lane: Lane<A>) {
    lane.remove(link)
    if (link.expiry !== undefined) this.expiring.remove(link.expiry)
    link.expiry = undefined
    const key = this.keyOf(link.ticket)
    if (key !== undefined) key.queued--
    this.count--
  }

  /** Puts a lane where it belongs after anything of it has changed. */
  private place(lane: Lane<A>) {
    const { key: before, standing: stood } = lane
    const next = lane.running < this.quotas.perSession ? lane.next : undefined
    const key = next === undefined ? undefined : this.keyOf(next.ticket)
    const isCounted = stood === "ready" && key === before
    const others = key === undefined ? 0 : key.running + key.ready - (isCounted ? 1 : 0)
    const standing = next === undefined ? "out" : others < this.quotas.perKey ? "ready" : "held"
    if (standing === "ready" && stood === "ready") {
      // It keeps its turn, whatever it is now for.
      if (before !== undefined) before.ready--
      if (key !== undefined) key.ready++
      lane.key = key
    } else if (standing !== stood || key !== before) {
      this.withdraw(lane)
      this.stand(lane, standing, key)
    }
    if (before !== undefined && key !== before) this.comeOn(before)
    if (lane.queued === 0 && lane.running === 0) this.lanes.delete(lane.session)
  }

  private withdraw(lane: Lane<A>) {
    if (lane.standing === "ready") {
      this.ring.remove(lane)
      if (lane.key !== undefined) lane.key.ready--
    } else if (lane.standing === "held") lane.key?.held.remove(lane)
  }

  private stand(lane: Lane<A>, standing: Lane<A>["standing"], key: Key<A> | undefined) {
    lane.standing = standing
    lane.key = key
    if (standing === "ready") {
      this.ring.append(lane)
      lane.credit = lane.weight
      if (key !== undefined) key.ready++
    } else if (standing === "held") key?.held.append(lane)
  }

  /** Lets those come on that a key held back and for which it has room again. */
  private comeOn(key: Key<A>) {
    for (let lane = key.held.first; lane !== undefined; lane = key.held.first) {
      if (key.running + key.ready >= this.quotas.perKey) return
      this.withdraw(lane)
      this.stand(lane, "ready", key)
    }
  }

  private keyOf({ key: name }: Ticket): Key<A> | undefined {
    if (name === undefined) return undefined
    let key = this.keys.get(name)
    if (key === undefined) this.keys.set(name, (key = new Key(name)))
    return key
  }

  private forget(key: Key<A> | undefined) {
    if (key !== undefined && key.queued === 0 && key.running === 0) this.keys.delete(key.name)
  }
}
