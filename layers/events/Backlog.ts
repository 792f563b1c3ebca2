/**
 * A subscriber's own bounded queue. Whoever fills it never waits: what does not fit is settled by the policy, at the
 * cost of this subscriber alone.
 */
import type { Policy } from "../../services/events/EventBus.ts"
import type { Batch, LiveEvent } from "./LiveTopics.ts"

/** What is there, oldest first. `lost` lies before it; when `isBehind`, all of it was dropped and more may have been. */
export interface Taken {
  readonly events: ReadonlyArray<LiveEvent>
  readonly lost: { readonly from: number; readonly to: number } | undefined
  readonly isBehind: boolean
  /** Sequence of the first event that was dropped while behind. */
  readonly firstDropped: number | undefined
}

export class Backlog {
  readonly #policy: Policy
  readonly #capacity: number
  #events: Array<LiveEvent> = []
  /** Everything before this position has been dropped. */
  #start = 0
  #lost: { from: number; to: number } | undefined
  #isBehind = false
  #firstDropped: number | undefined

  constructor(policy: Policy, capacity: number) {
    this.#policy = policy
    this.#capacity = capacity
  }

  get size(): number {
    return this.#events.length - this.#start
  }

  offer(batch: Batch): void {
    if (this.#isBehind) return this.#noteDropped(batch)
    if (this.#policy === "catchup" && this.size + batch.length > this.#capacity) {
      return this.fallBehind(batch)
    }
    for (const event of batch) {
      this.#events.push(event)
      if (this.size > this.#capacity) this.#slide()
    }
  }

  /** Drops all there is and all that comes, until it is taken: its reader has to go back to the log. */
  fallBehind(batch: Batch = []): void {
    this.#firstDropped ??= this.#lost?.from
    this.#noteDropped(this.#waiting())
    this.#noteDropped(batch)
    this.#events = []
    this.#start = 0
    this.#lost = undefined
    this.#isBehind = true
  }

  /** Takes everything, and from here on keeps what comes. */
  take(): Taken {
    const taken = {
      events: this.#waiting(),
      lost: this.#lost,
      isBehind: this.#isBehind,
      firstDropped: this.#firstDropped
    }
    this.#events = []
    this.#start = 0
    this.#lost = undefined
    this.#isBehind = false
    this.#firstDropped = undefined
    return taken
  }

  #waiting(): Array<LiveEvent> {
    return this.#start === 0 ? this.#events : this.#events.slice(this.#start)
  }

  #slide(): void {
    const event = this.#events[this.#start++]
    if (event?._tag === "Event") {
      if (this.#lost === undefined) this.#lost = { from: event.sequence, to: event.sequence }
      else this.#lost.to = event.sequence
    }
    if (this.#start > this.#capacity) {
      this.#events = this.#events.slice(this.#start)
      this.#start = 0
    }
  }

  #noteDropped(batch: Batch): void {
    if (this.#firstDropped === undefined) {
      this.#firstDropped = batch.find((event) => event._tag === "Event")?.sequence
    }
  }
}
