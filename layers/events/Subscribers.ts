/** Who listens: every subscription of one bus with its figures, looked at when somebody asks. */
import { Clock, Effect, Metric } from "effect"
import type { Policy, Subscription } from "../../services/events/Subscription.ts"
import type { Subject } from "../../services/events/Topic.ts"
import { type SubscriberStats, summarise, type TopicStats } from "../../services/events/TopicStats.ts"

/** The figures of a subscriber that change. */
export type Counts = Pick<SubscriberStats, "state" | "published" | "delivered" | "lost" | "pending" | "depth" | "lag">

const subscribers = Metric.gauge("espalier_events_subscribers", { description: "Subscriptions that are open" })
const depth = Metric.gauge("espalier_events_queue_depth", { description: "Events in all subscribers' queues" })
const lag = Metric.gauge("espalier_events_lag_max", { description: "Events that the slowest subscriber is behind" })
const delivered = Metric.counter("espalier_events_delivered_total", {
  description: "Events handed to subscribers",
  incremental: true
})
const lost = Metric.counter("espalier_events_lost_total", {
  description: "Events that a subscriber's policy skipped",
  incremental: true
})

interface Entry {
  readonly describe: () => SubscriberStats
}

export class Subscribers {
  readonly #all = new Map<Subject, Map<number, Entry>>()
  #lastId = 0
  /** Of those who have gone. */
  #gone = { delivered: 0, lost: 0 }
  /** What the counters have been told. */
  #told = { delivered: 0, lost: 0 }

  /** Lists a subscriber until the scope closes. */
  readonly add = Effect.fnUntraced(function* (
    this: Subscribers,
    { connection, label, topic }: Subscription,
    { capacity, policy }: { readonly capacity: number; readonly policy: Policy },
    counts: () => Counts
  ) {
    const since = yield* Clock.currentTimeMillis
    const id = ++this.#lastId
    const who = {
      id,
      topic,
      ...(label === undefined ? {} : { label }),
      ...(connection === undefined ? {} : { connection }),
      policy,
      capacity,
      since
    }
    const describe = () => ({ ...who, ...counts() })
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const those = this.#all.get(topic)
        if (those === undefined) this.#all.set(topic, new Map([[id, { describe }]]))
        else those.set(id, { describe })
      }),
      () =>
        Effect.sync(() => {
          const last = describe()
          this.#gone.delivered += last.delivered
          this.#gone.lost += last.lost
          const those = this.#all.get(topic)
          those?.delete(id)
          if (those?.size === 0) this.#all.delete(topic)
        })
    )
  })

  stats(query: { readonly topic?: Subject | undefined; readonly limit: number }): ReadonlyArray<TopicStats> {
    return summarise(
      Array.from(this.#entries(query.topic), ({ describe }) => describe()),
      query.limit
    )
  }

  /** Tells the metrics how it stands; to be run every few seconds. */
  readonly measure: Effect.Effect<void> = Effect.suspend(() => {
    const now = { subscribers: 0, depth: 0, lag: 0, delivered: this.#gone.delivered, lost: this.#gone.lost }
    for (const { describe } of this.#entries()) {
      const one = describe()
      now.subscribers++
      now.depth += one.depth
      now.lag = Math.max(now.lag, one.lag)
      now.delivered += one.delivered
      now.lost += one.lost
    }
    const more = { delivered: now.delivered - this.#told.delivered, lost: now.lost - this.#told.lost }
    this.#told = now
    return Effect.all(
      [
        Metric.update(subscribers, now.subscribers),
        Metric.update(depth, now.depth),
        Metric.update(lag, now.lag),
        Metric.update(delivered, more.delivered),
        Metric.update(lost, more.lost)
      ],
      { discard: true }
    )
  })

  #entries(topic?: Subject): ReadonlyArray<Entry> {
    const groups = topic === undefined ? [...this.#all.values()] : [this.#all.get(topic)]
    return groups.flatMap((those) => (those === undefined ? [] : [...those.values()]))
  }
}
