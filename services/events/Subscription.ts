/** How a topic is read: from where, through how long a queue, and what a full queue means. */
import { Schema } from "effect"
import { InvalidInput } from "../InvalidInput.ts"
import type { StorageError } from "../journal/StorageError.ts"
import { Session } from "../session/Session.ts"
import { isDurable, isWildcard, type Subject } from "./Topic.ts"

/**
 * What happens to events that do not fit a subscriber's queue. Whatever the policy, a subscription that asks for the
 * past gets all of it first, at its own pace; the policy rules from then on.
 *
 * `catchup`: the reader falls back to the journal until it has caught up; nothing of a durable topic is lost.
 * `backpressure`: the publisher waits for this reader, for a few seconds at most: then the reader is cut off.
 * `sliding`: the oldest waiting events go, told by one `Lagged` before what is left.
 * `dropping`: the newest events go, told by one `Lagged` after what was waiting; the topic's last event is never one of
 * them.
 * `disconnect`: the subscription ends with `SubscriptionCut`, once what was waiting has been handed out.
 */
export const Policy = Schema.Literals(["catchup", "backpressure", "sliding", "dropping", "disconnect"])
export type Policy = typeof Policy.Type

/**
 * What a cursor means that is older than what is kept.
 *
 * `fail`: the subscription is refused with `CursorExpired`.
 * `snapshot`: it begins with a `Snapshot`, the state that stands for what is gone, and goes on after it; a topic that
 * has none begins with its oldest event, after one `Lagged`.
 */
export const Expired = Schema.Literals(["fail", "snapshot"])
export type Expired = typeof Expired.Type

export const maxCapacity = 65_536
export const defaultCapacity = 1_024

export interface Subscription {
  readonly topic: Subject
  /** First sequence wanted. Absent: only what happens from now on. */
  readonly from?: number | undefined
  /** Default `catchup`; for a wildcard `sliding`. */
  readonly policy?: Policy | undefined
  /** Length of the subscriber's own queue, in events (default 1,024, at most 65,536). */
  readonly capacity?: number | undefined
  /** Default `fail`. */
  readonly expired?: Expired | undefined
  /** Who this is, in the subscriber's own words: shown to those who ask who listens. */
  readonly label?: string | undefined
  /** The connection that it came over, as the gateway names it. */
  readonly connection?: string | undefined
}

/** The cursor lies beyond the newest event: it belongs to another server's data, or the data was replaced. */
export class CursorAhead extends Schema.TaggedError<CursorAhead>()("CursorAhead", {
  topic: Schema.String,
  from: Schema.Int,
  latest: Schema.Int
}) {
  override get message() {
    return `${this.topic} has ${this.latest} events, so it cannot be read from ${this.from}; subscribe from ${this.latest + 1} or earlier`
  }
}

/** The events that the cursor asks for are no longer kept. */
export class CursorExpired extends Schema.TaggedError<CursorExpired>()("CursorExpired", {
  topic: Schema.String,
  from: Schema.Int,
  /** The oldest sequence that there is, or will be. */
  earliest: Schema.Int,
  /** Of a session: its state after an event that is kept or was the last to go. Events after it make the present. */
  snapshot: Schema.optionalKey(Session)
}) {
  override get message() {
    const kept = `${this.topic} is kept from ${this.earliest} on, so it cannot be read from ${this.from}`
    return this.snapshot === undefined
      ? `${kept}; subscribe from ${this.earliest}, and ask for the present state for what was before`
      : `${kept}; subscribe from ${this.snapshot.sequence + 1}, after the snapshot that comes with this, or let a subscription begin with it (expired: "snapshot")`
  }
}

/**
 * The subscription was ended by the server. `after` is the last sequence that was delivered or told as skipped: a
 * subscription from `after + 1` continues without a gap. 0 when there was none yet, and always 0 for a wildcard.
 */
export class SubscriptionCut extends Schema.TaggedError<SubscriptionCut>()("SubscriptionCut", {
  topic: Schema.String,
  after: Schema.Int,
  reason: Schema.Literals([
    /** Policy `disconnect`: the queue was full. */
    "queue_full",
    /** Policy `backpressure`: the publisher had waited for as long as it may. */
    "publisher_waited",
    /** A wildcard has no past to catch up from, and the event bus was started anew. */
    "bus_restarted"
  ])
}) {
  override get message() {
    const found = {
      queue_full: "its queue was full",
      publisher_waited: "the publisher had waited for it for too long",
      bus_restarted: "the event bus was started anew"
    }[this.reason]
    const next = this.after === 0 ? "subscribe again" : `subscribe again from ${this.after + 1}`
    return `the subscription to ${this.topic} was ended: ${found}; ${next}`
  }
}

export type SubscribeError = CursorAhead | CursorExpired | SubscriptionCut | InvalidInput | StorageError

/** What is wrong with a subscription as such, or undefined when nothing is. */
export const judge = ({ from, policy, topic }: Subscription): InvalidInput | undefined => {
  const refuse = (path: string, message: string) =>
    new InvalidInput({ subject: "Subscribe", issues: [{ path, message }] })
  if (isWildcard(topic)) {
    if (from !== undefined)
      return refuse("from", `${topic} has no past: subscribe to one topic to read it from a sequence`)
    if (policy === "catchup" || policy === "backpressure") {
      return refuse("policy", `${topic} takes sliding, dropping or disconnect: subscribe to one topic for ${policy}`)
    }
  } else if (policy === "backpressure" && !isDurable(topic)) {
    return refuse("policy", `${topic} waits for nobody: take catchup, sliding, dropping or disconnect`)
  }
  return undefined
}
