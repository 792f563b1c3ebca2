/**
 * Who listens to what, and how far behind. For each subscriber, counted from where it began to read, it holds exactly:
 * delivered + lost + pending = published.
 */
import { Schema } from "effect"
import { Policy } from "./Subscription.ts"
import { Subject } from "./Topic.ts"

export const SubscriberStats = Schema.Struct({
  /** Counts the subscriptions of this server's life. */
  id: Schema.Int,
  topic: Subject,
  /** Who it is, in its own words. */
  label: Schema.optionalKey(Schema.String),
  /** The connection it came over; absent for one in the server's own process. */
  connection: Schema.optionalKey(Schema.String),
  policy: Policy,
  capacity: Schema.Int,
  /** Unix time in milliseconds. */
  since: Schema.Int,
  /** `replaying` reads what is on record; `live` reads what happens. */
  state: Schema.Literals(["replaying", "live"]),
  /** Events of the topic since where it began to read. */
  published: Schema.Int,
  /** Events handed out; passing events (text deltas) are not counted anywhere here. */
  delivered: Schema.Int,
  /** Events that it will not get: told, or about to be told, by `Lagged`. */
  lost: Schema.Int,
  /** Events that it is still to get, from its queue or from the record. */
  pending: Schema.Int,
  /** Entries in its queue, passing events included; never more than its capacity by more than one batch. */
  depth: Schema.Int,
  /** How far its last event is behind the topic's newest. */
  lag: Schema.Int
})
export type SubscriberStats = typeof SubscriberStats.Type

export const TopicStats = Schema.Struct({
  topic: Subject,
  /** How many listen, also when only some of them are listed. */
  subscribers: Schema.Int,
  depth: Schema.Int,
  delivered: Schema.Int,
  lost: Schema.Int,
  /** That of the subscriber that is furthest behind. */
  lag: Schema.Int,
  /** Those who listen, in the order they came. */
  list: Schema.Array(SubscriberStats)
})
export type TopicStats = typeof TopicStats.Type

/** The figures of each topic, topics by name; at most `limit` subscribers are listed altogether. */
export const summarise = (subscribers: ReadonlyArray<SubscriberStats>, limit: number): ReadonlyArray<TopicStats> => {
  const topics = new Map<Subject, Array<SubscriberStats>>()
  for (const subscriber of subscribers) {
    const those = topics.get(subscriber.topic)
    if (those === undefined) topics.set(subscriber.topic, [subscriber])
    else those.push(subscriber)
  }
  let left = limit
  const sum = (those: ReadonlyArray<SubscriberStats>, of: (one: SubscriberStats) => number) =>
    those.reduce((total, one) => total + of(one), 0)
  return [...topics]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([topic, those]) => {
      const list = those.slice(0, Math.max(0, left))
      left -= list.length
      return {
        topic,
        subscribers: those.length,
        depth: sum(those, ({ depth }) => depth),
        delivered: sum(those, ({ delivered }) => delivered),
        lost: sum(those, ({ lost }) => lost),
        lag: those.reduce((most, { lag }) => Math.max(most, lag), 0),
        list
      }
    })
}
