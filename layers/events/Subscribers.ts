/** Who listens: every subscription of one bus with its figures, looked at when somebody asks. */
import { Clock, Effect, Metric, Scope } from "effect"
import type { Policy, Subscription } from "../../services/events/Subscription.ts"
import { isDurable, isWildcard, type Subject } from "../../services/events/Topic.ts"
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

/**
 * Which series a subscriber counts in: `session`, `worker`, or its topic where there are only a few of them. One for
 * each session would be without end; who it is, `TopicStats` tells.
 */
const kindOf = (subject: Subject): string =>
  isWildcard(subject) || !isDurable(subject) ? subject : subject.slice(0, subject.indexOf(":"))

/** Of one kind: how many were handed out and lost by those who have gone, and what the counters have been told. */
interface Tally {
  readonly gone: { delivered: number; lost: number }
  told: { delivered: number; lost: number }
}

interface Entry {
  readonly describe: () => SubscriberStats
}

export class Subscribers {
  readonly #all = new Map<Subject, Map<number, Entry>>()
  #lastId = 0
  readonly #tallies = new Map<string, Tally>()

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
    const those = this.#all.get(topic)
    if (those === undefined) this.#all.set(topic, new Map([[id, { describe }]]))
    else those.set(id, { describe })
    yield* Scope.addFinalizer(
      yield* Effect.scope,
      Effect.sync(() => {
        const last = describe()
        const { gone } = this.#tally(kindOf(topic))
        gone.delivered += last.delivered
        gone.lost += last.lost
        const those = this.#all.get(topic)
        those?.delete(id)
        if (those?.size === 0) this.#all.delete(topic)
      })
    )
  }, Effect.uninterruptible)

  stats(query: { readonly topic?: Subject | undefined; readonly limit: number }): ReadonlyArray<TopicStats> {
    return summarise(
      Array.from(this.#entries(query.topic), ({ describe }) => describe()),
      query.limit
    )
  }

  /** Tells the metrics how it stands, series by series; to be run every few seconds. */
  readonly measure: Effect.Effect<void> = Effect.suspend(() => {
    const now = new Map<string, { subscribers: number; depth: number; lag: number; delivered: number; lost: number }>()
    for (const [kind, { gone }] of this.#tallies) now.set(kind, { subscribers: 0, depth: 0, lag: 0, ...gone })
    for (const { describe } of this.#entries()) {
      const one = describe()
      const kind = kindOf(one.topic)
      let sum = now.get(kind)
      if (sum === undefined) now.set(kind, (sum = { subscribers: 0, depth: 0, lag: 0, ...this.#tally(kind).gone }))
      sum.subscribers++
      sum.depth += one.depth
      sum.lag = Math.max(sum.lag, one.lag)
      sum.delivered += one.delivered
      sum.lost += one.lost
    }
    return Effect.forEach(
      now,
      ([topic, sum]) => {
        const tally = this.#tally(topic)
        const more = { delivered: sum.delivered - tally.told.delivered, lost: sum.lost - tally.told.lost }
        tally.told = { delivered: sum.delivered, lost: sum.lost }
        const of = <Input, State>(metric: Metric.Metric<Input, State>) => Metric.withAttributes(metric, { topic })
        return Effect.all(
          [
            Metric.update(of(subscribers), sum.subscribers),
            Metric.update(of(depth), sum.depth),
            Metric.update(of(lag), sum.lag),
            Metric.update(of(delivered), more.delivered),
            Metric.update(of(lost), more.lost)
          ],
          { discard: true }
        )
      },
      { discard: true }
    )
  })

  #tally(kind: string): Tally {
    let tally = this.#tallies.get(kind)
    if (tally === undefined) {
      tally = { gone: { delivered: 0, lost: 0 }, told: { delivered: 0, lost: 0 } }
      this.#tallies.set(kind, tally)
    }
    return tally
  }

  #entries(topic?: Subject): ReadonlyArray<Entry> {
    const groups = topic === undefined ? [...this.#all.values()] : [this.#all.get(topic)]
    return groups.flatMap((those) => (those === undefined ? [] : [...those.values()]))
  }
}
