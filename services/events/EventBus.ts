/**
 * Live fan-out of events by topic, joined to the journal.
 *
 * Publishing never waits for a reader: each subscriber owns a bounded queue, and what a full queue means is the
 * subscriber's choice. A subscription replays from where it asks and goes on live without a gap or a repeat.
 */
import { Context, type Effect, Schema, type Stream } from "effect"
import type { StorageError } from "../journal/StorageError.ts"
import type { Delivery, Recorded, RuntimeEvent } from "./RuntimeEvent.ts"
import type { Topic } from "./Topic.ts"

/**
 * `catchup`: the reader falls back to the journal until it has caught up; nothing of a durable topic is lost.
 * `sliding`: the oldest waiting events go, told by one `Lagged`.
 */
export const Policy = Schema.Literals(["catchup", "sliding"])
export type Policy = typeof Policy.Type

export interface Subscription {
  readonly topic: Topic
  /** First sequence wanted. Absent: only what happens from now on. */
  readonly from?: number | undefined
  readonly policy?: Policy | undefined
  /** Length of the subscriber's own queue, in events (default 1,024, at most 65,536). */
  readonly capacity?: number | undefined
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

export class EventBus extends Context.Service<
  EventBus,
  {
    /**
     * Hands events of durable topics, already journaled and in sequence, to the live subscribers. To publish one again
     * is harmless: so a writer that comes back after a crash publishes its stream's last event, and nobody waits for
     * one that was journaled but not published.
     */
    readonly publish: (events: ReadonlyArray<Recorded>) => Effect.Effect<void>
    /** Publishes a passing event on a durable topic: a text delta. It is never replayed. */
    readonly publishEphemeral: (topic: Topic, event: RuntimeEvent) => Effect.Effect<void>
    /** Numbers and publishes events of a `system:` topic, kept in a bounded window of memory. */
    readonly publishSystem: (topic: Topic, events: ReadonlyArray<RuntimeEvent>) => Effect.Effect<void>
    /** Subscribed at once when the stream starts; ends only with its scope. */
    readonly subscribe: (subscription: Subscription) => Stream.Stream<Delivery, CursorAhead | StorageError>
  }
>()("espalier/events/EventBus") {}
