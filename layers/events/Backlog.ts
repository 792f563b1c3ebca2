/**
 * A subscriber's own bounded queue. Whoever fills it never waits here: what does not fit is settled by the policy, at
 * the cost of this subscriber alone.
 */
import { endsTopic } from "../../services/events/endsTopic.ts"
import type { Policy } from "../../services/events/Subscription.ts"
import type { Batch, LiveEvent } from "./LiveTopics.ts"

/** Events of the sequence that were dropped, `count` of them. */
export interface Lost {
  from: number
  to: number
  count: number
}

/** What is there, oldest first. `isBehind`: all of it was dropped, and more may have been. */
export interface Taken {
  readonly events: ReadonlyArray<LiveEvent>
  /** Dropped before the first of them. */
  readonly before: Lost | undefined
  /** Dropped after the last of them. */
  readonly after: Lost | undefined
  /** The topic's last event, after those that were dropped: whatever is lost, the end is not. */
  readonly end: LiveEvent | undefined
  readonly isBehind: boolean
  /** Sequence of the first event that was dropped while behind. */
  readonly firstDropped: number | undefined
}

const count = (lost: Lost | undefined, sequence: number): Lost => {
  if (lost === undefined) return { from: sequence, to: sequence, count: 1 }
  lost.to = sequence
  lost.count++
  return lost
}

export class Backlog {
  readonly #policy: Policy
  readonly #capacity: number
  #events: Array<LiveEvent> = []
  /** Everything before this position has been taken or dropped. */
  #start = 0
  #before: Lost | undefined
  #after: Lost | undefined
  #end: LiveEvent | undefined
  #isBehind = false
  #isCut = false
  #firstDropped: number | undefined
  #firstSeen: number | undefined
  #lastSeen = 0
  /** While its reader reads the record nothing has to fit: it will find on record what was dropped. */
  isCatchingUp = false

  constructor(policy: Policy, capacity: number) {
    this.#policy = policy
    this.#capacity = capacity
  }

  get size(): number {
    return this.#events.length - this.#start
  }

  /** What waits for the reader, the topic's end included. */
  get waiting(): number {
    return this.size + (this.#end === undefined ? 0 : 1)
  }

  /** Events dropped by the policy that the reader has not been told of. */
  get untold(): number {
    return (this.#before?.count ?? 0) + (this.#after?.count ?? 0)
  }

  /** Those of them that come after a sequence: the others its reader has found on record. */
  untoldAfter(sequence: number): number {
    const after = (lost: Lost | undefined) =>
      lost === undefined || lost.to <= sequence ? 0 : lost.from > sequence ? lost.count : lost.to - sequence
    return after(this.#before) + after(this.#after)
  }

  /** Everything was dropped: its reader has to go back to the log. */
  get isBehind(): boolean {
    return this.#isBehind
  }

  /** It takes nothing more: its reader is to be told so after what is there. */
  get isCut(): boolean {
    return this.#isCut
  }

  /** Sequence of the first event that came, kept or not. */
  get firstSeen(): number | undefined {
    return this.#firstSeen
  }

  /** Sequence of the last event that came, kept or not; 0 before the first. */
  get lastSeen(): number {
    return this.#lastSeen
  }

  /** Whether nothing is there to be taken or told. */
  get isQuiet(): boolean {
    return this.size === 0 && this.untold === 0 && !this.#isBehind && !this.#isCut
  }

  /** Whether a batch finds its place without breaking the capacity: an empty queue takes any. */
  hasRoomFor(batch: Batch): boolean {
    return this.isCatchingUp || this.#isBehind || this.size === 0 || this.size + batch.length <= this.#capacity
  }

  offer(batch: Batch): void {
    if (this.#isCut) return
    this.#see(batch)
    if (this.#isBehind) return this.#noteDropped(batch)
    const fits = this.size + batch.length <= this.#capacity
    if (!fits && (this.#policy === "catchup" || this.isCatchingUp)) return this.fallBehind(batch)
    if ((fits && this.#after === undefined) || this.#policy === "backpressure") {
      for (const event of batch) this.#events.push(event)
      return
    }
    for (const event of batch) this.#squeeze(event)
  }

  /** Drops all there is and all that comes, until it is taken: its reader has to go back to the log. */
  fallBehind(batch: Batch = []): void {
    this.#firstDropped ??= this.#before?.from
    this.#noteDropped(this.#waiting())
    if (this.#after !== undefined) this.#firstDropped ??= this.#after.from
    if (this.#end !== undefined) this.#noteDropped([this.#end])
    this.#noteDropped(batch)
    this.#events = []
    this.#start = 0
    this.#before = undefined
    this.#after = undefined
    this.#end = undefined
    this.#isBehind = true
  }

  cut(): void {
    this.#isCut = true
  }

  /** Takes what is there, at most so many, and from here on keeps what comes. */
  take(max: number): Taken {
    const isAll = this.size <= max
    const taken = {
      events: isAll ? this.#waiting() : this.#events.slice(this.#start, this.#start + max),
      before: this.#before,
      after: isAll ? this.#after : undefined,
      end: isAll ? this.#end : undefined,
      isBehind: this.#isBehind,
      firstDropped: this.#firstDropped
    }
    if (isAll) {
      this.#events = []
      this.#start = 0
      this.#after = undefined
      this.#end = undefined
    } else {
      this.#start += max
      this.#compact()
    }
    this.#before = undefined
    this.#isBehind = false
    this.#firstDropped = undefined
    return taken
  }

  #waiting(): Array<LiveEvent> {
    return this.#start === 0 ? this.#events : this.#events.slice(this.#start)
  }

  #see(batch: Batch): void {
    this.#firstSeen ??= batch.find((event) => event._tag === "Event")?.sequence
    const last = batch.at(-1)
    if (last?._tag === "Event" && last.sequence > this.#lastSeen) this.#lastSeen = last.sequence
  }

  #squeeze(event: LiveEvent): void {
    if (this.#policy === "sliding") {
      this.#events.push(event)
      if (this.size > this.#capacity) this.#slide()
    } else if (this.size < this.#capacity && this.#after === undefined) {
      this.#events.push(event)
    } else if (event._tag === "Event") {
      if (this.#policy === "disconnect") this.#isCut = true
      else this.#drop(event)
    }
  }

  /** Drops the newest, unless nothing can come after it: that one has a place of its own. */
  #drop(event: Extract<LiveEvent, { readonly _tag: "Event" }>): void {
    if (this.#end?._tag === "Event") this.#after = count(this.#after, this.#end.sequence)
    this.#end = undefined
    if (!endsTopic(event.event)) this.#after = count(this.#after, event.sequence)
    else if (this.#after === undefined) this.#events.push(event)
    else this.#end = event
  }

  #slide(): void {
    const event = this.#events[this.#start++]
    if (event?._tag === "Event") this.#before = count(this.#before, event.sequence)
    this.#compact()
  }

  #compact(): void {
    if (this.#start <= this.#capacity) return
    this.#events = this.#events.slice(this.#start)
    this.#start = 0
  }

  #noteDropped(batch: Batch): void {
    if (this.#firstDropped === undefined) {
      this.#firstDropped = batch.find((event) => event._tag === "Event")?.sequence
    }
  }
}
