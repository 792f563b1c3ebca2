/**
 * The waiting tasks of one session, in the order in which they get its turns: by priority, within a priority first in,
 * first out, and no priority starves another.
 *
 * A task ages by the turns that it sees go by: for every `ageing` tasks of its session that are taken while it waits it
 * rises by one priority. So a task of priority p is overtaken by nothing that comes `(9 - p) * ageing` turns after it or
 * later, and is taken at the latest that many turns after it came, plus as many as waited before it by then.
 */
import { Chain, type Member } from "./Chain.ts"
import type { Ticket } from "./Ticket.ts"

/** Turns of its session after which a waiting task counts as one priority higher. */
export const ageing = 10

/** A task in its place in line. */
export interface Waiting<A> {
  readonly value: A
  readonly ticket: Ticket
  /** When its patience is over, on the caller's clock; `Infinity` for one that waits as long as it takes. */
  readonly expiresAt: number
}

/** Its place among those whose patience ends, in the order of their ends. */
export class Expiry<A> implements Member<Expiry<A>> {
  before: Expiry<A> | undefined
  after: Expiry<A> | undefined
  readonly link: Link<A>

  constructor(link: Link<A>) {
    this.link = link
  }
}

export class Link<A> implements Waiting<A>, Member<Link<A>> {
  before: Link<A> | undefined
  after: Link<A> | undefined
  /** Undefined once it has left the queue. */
  lane: Lane<A> | undefined
  expiry: Expiry<A> | undefined
  /** Turns that its lane had taken when it came. */
  cameAt = 0
  /** The turn at which its age alone puts it before all that come then; the smallest is next. Below 0: before all. */
  rank = -1

  readonly value: A
  readonly ticket: Ticket
  readonly expiresAt: number

  constructor(value: A, ticket: Ticket, expiresAt: number) {
    this.value = value
    this.ticket = ticket
    this.expiresAt = expiresAt
  }
}

/** All of one priority, or those that had their turn and gave it back. */
class Level<A> extends Chain<Link<A>> {
  readonly priority: number

  constructor(priority: number) {
    super()
    this.priority = priority
  }
}

/** Above every priority. */
const returned = 10

/** Tasks of one key: `ready` lanes have one as their next and may take it, those in `held` wait until fewer run. */
export class Key<A> {
  queued = 0
  running = 0
  ready = 0
  readonly held = new Chain<Lane<A>>()

  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

export class Lane<A> implements Member<Lane<A>> {
  before: Lane<A> | undefined
  after: Lane<A> | undefined
  /** `ready`: in the ring. `held`: its next task's key runs as many as it may. `out`: nothing waits, or it does so itself. */
  standing: "ready" | "held" | "out" = "out"
  /** The key of its next task, while it is ready or held. */
  key: Key<A> | undefined
  queued = 0
  running = 0
  /** Tasks that it may still take before another lane's turn. */
  credit = 0
  weight = 1
  private turns = 0
  /** Only those that hold something: usually one. */
  private readonly levels: Array<Level<A>> = []

  readonly session: string

  constructor(session: string) {
    this.session = session
  }

  /** What this session's next turn goes to. */
  get next(): Link<A> | undefined {
    let best = this.levels[0]?.first
    for (let index = 1; index < this.levels.length; index++) {
      const other = this.levels[index]?.first
      if (best === undefined || other === undefined) continue
      if (other.rank < best.rank || (other.rank === best.rank && other.cameAt < best.cameAt)) best = other
    }
    return best
  }

  add(link: Link<A>) {
    link.cameAt = this.turns
    link.rank = this.turns + (9 - link.ticket.priority) * ageing
    this.enter(link)
    this.levelOf(link.ticket.priority).append(link)
  }

  /** Puts it before all others. */
  addFirst(link: Link<A>) {
    this.enter(link)
    this.levelOf(returned).prepend(link)
  }

  /** Takes it out, be it the next or in the middle. */
  remove(link: Link<A>) {
    const priority = link.rank < 0 ? returned : link.ticket.priority
    const at = this.levels.findIndex((level) => level.priority === priority)
    this.levels[at]?.remove(link)
    if (this.levels[at]?.first === undefined) this.levels.splice(at, 1)
    link.lane = undefined
    this.queued--
  }

  /** One of its tasks was started. */
  passTurn() {
    this.turns++
  }

  private enter(link: Link<A>) {
    link.lane = this
    this.weight = link.ticket.weight
    this.queued++
  }

  private levelOf(priority: number): Level<A> {
    let level = this.levels.find((level) => level.priority === priority)
    if (level === undefined) this.levels.push((level = new Level(priority)))
    return level
  }
}
