/**
 * Live fan-out of events by topic, joined to the journal.
 *
 * Publishing waits for no reader that did not ask for it: each subscriber owns a bounded queue, and what a full queue
 * means is the subscriber's choice. A subscription replays from where it asks and goes on live without a gap or a
 * repeat.
 */
import { Context, type Effect, type Scope, type Stream } from "effect"
import type { Delivery, Recorded, RuntimeEvent } from "./RuntimeEvent.ts"
import type { SubscribeError, Subscription } from "./Subscription.ts"
import type { Subject, Topic } from "./Topic.ts"
import type { TopicStats } from "./TopicStats.ts"

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
    readonly subscribe: (subscription: Subscription) => Stream.Stream<Delivery, SubscribeError>
    /** Subscribed, or refused, when it returns. The stream can be run once, and the subscription ends with the scope. */
    readonly open: (
      subscription: Subscription
    ) => Effect.Effect<Stream.Stream<Delivery, SubscribeError>, SubscribeError, Scope.Scope>
    /** Who listens, at most `limit` of them listed; only to `topic` when it is given. */
    readonly stats: (query: {
      readonly topic?: Subject | undefined
      readonly limit: number
    }) => Effect.Effect<ReadonlyArray<TopicStats>>
  }
>()("espalier/events/EventBus") {}
