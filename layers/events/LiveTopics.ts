/**
 * One life of the fan-out: a `PubSub` for each topic that someone listens to, made with its first subscriber and
 * gone with its last. Events travel in the batches they were published in.
 *
 * A `PubSub` couples its subscribers: it is full when the slowest is. So only drains subscribe here, which wait for
 * no reader, and a publisher that meets a full one waits for no more than their next turn. The exception is a reader
 * that asked for backpressure: its drain waits, and through it the publisher.
 */
import { Effect, PubSub, Scope } from "effect"
import type { Delivery, Recorded, RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import { isWildcard, type Subject, type Topic, wildcardOf } from "../../services/events/Topic.ts"

/** A passing event on its way, with the newest sequence that was published before it as far as this life knows. */
export interface LiveEphemeral {
  readonly _tag: "Ephemeral"
  readonly topic: Topic
  readonly after: number | undefined
  readonly at: number
  readonly event: RuntimeEvent
}
export type LiveEvent = Extract<Delivery, { readonly _tag: "Event" }> | LiveEphemeral
export type Batch = ReadonlyArray<LiveEvent>

/** Batches that a drain may be behind before publishers wait for it. */
const CAPACITY = 64

interface LiveTopic {
  readonly pubsub: PubSub.PubSub<Batch>
  subscribers: number
  latest: number | undefined
}

export const toDelivery = (recorded: Recorded): Extract<Delivery, { readonly _tag: "Event" }> => ({
  _tag: "Event",
  topic: recorded.topic,
  sequence: recorded.sequence,
  at: recorded.at,
  event: recorded.event
})

export class LiveTopics {
  readonly #topics = new Map<Subject, LiveTopic>()
  /** How many of them are wildcards: while there is none, publishing does not ask. */
  #wildcards = 0

  has(topic: Topic): boolean {
    return this.#topics.has(topic)
  }

  get size(): number {
    return this.#topics.size
  }

  /** The newest sequence of a topic that was published, as far as this life knows. */
  latest(topic: Topic): number | undefined {
    return this.#topics.get(topic)?.latest
  }

  publish(events: ReadonlyArray<Recorded>): Effect.Effect<void> {
    if (this.#topics.size === 0) return Effect.void
    const batches = new Map<LiveTopic, Array<LiveEvent>>()
    const add = (live: LiveTopic, event: LiveEvent) => {
      const batch = batches.get(live)
      if (batch === undefined) batches.set(live, [event])
      else batch.push(event)
    }
    for (const recorded of events) {
      const live = this.#topics.get(recorded.topic)
      const wildcard = this.#wildcards === 0 ? undefined : wildcardOf(recorded.topic)
      const all = wildcard === undefined ? undefined : this.#topics.get(wildcard)
      if (live === undefined && all === undefined) continue
      const event = toDelivery(recorded)
      if (live !== undefined) {
        live.latest = Math.max(live.latest ?? 0, recorded.sequence)
        add(live, event)
      }
      if (all !== undefined) add(all, event)
    }
    const waiting: Array<Effect.Effect<boolean>> = []
    for (const [live, batch] of batches) {
      if (!PubSub.publishUnsafe(live.pubsub, batch)) waiting.push(PubSub.publish(live.pubsub, batch))
    }
    return waiting.length === 0 ? Effect.void : Effect.all(waiting, { discard: true })
  }

  publishEphemeral(topic: Topic, at: number, event: RuntimeEvent): Effect.Effect<void> {
    const live = this.#topics.get(topic)
    if (live === undefined) return Effect.void
    const batch: Batch = [{ _tag: "Ephemeral", topic, after: live.latest, at, event }]
    return PubSub.publishUnsafe(live.pubsub, batch) ? Effect.void : Effect.asVoid(PubSub.publish(live.pubsub, batch))
  }

  /** Listens from the moment it returns until its scope closes. After `shutdown`, taking interrupts. */
  readonly attach = Effect.fnUntraced(function* (this: LiveTopics, subject: Subject) {
    const live = yield* this.#join(subject)
    yield* Scope.addFinalizer(yield* Effect.scope, this.#leave(subject, live))
    return yield* PubSub.subscribe(live.pubsub)
  }, Effect.uninterruptible)

  readonly shutdown: Effect.Effect<void> = Effect.suspend(() => {
    const topics = [...this.#topics.values()]
    this.#topics.clear()
    return Effect.forEach(topics, ({ pubsub }) => PubSub.shutdown(pubsub), { discard: true })
  })

  readonly #join = Effect.fnUntraced(function* (this: LiveTopics, subject: Subject) {
    let live = this.#topics.get(subject)
    if (live === undefined) {
      live = { pubsub: yield* PubSub.bounded<Batch>(CAPACITY), subscribers: 0, latest: undefined }
      this.#topics.set(subject, live)
      if (isWildcard(subject)) this.#wildcards++
    }
    live.subscribers++
    return live
  })

  #leave(subject: Subject, live: LiveTopic): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (--live.subscribers > 0) return Effect.void
      if (this.#topics.get(subject) === live) {
        this.#topics.delete(subject)
        if (isWildcard(subject)) this.#wildcards--
      }
      return PubSub.shutdown(live.pubsub)
    })
  }
}
