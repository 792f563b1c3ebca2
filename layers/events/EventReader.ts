/**
 * One subscription: a cursor that moves along a topic, over what is on record and over what is live.
 *
 * It listens before it looks, so that nothing can fall between: first the live events go to its backlog, then it reads
 * the log from its cursor, then it takes the backlog and drops what it already has. Whenever the live events do not
 * follow its cursor (the backlog overflowed, the bus was restarted, a writer died between journal and bus) it goes
 * back to the log from where it stands. So there is one way to be up to date, at the start and ever after.
 */
import { Array as Arr, type Cause, type Duration, Effect, type Pull, type Scope } from "effect"
import type { Delivery, Recorded } from "../../services/events/RuntimeEvent.ts"
import {
  CursorAhead,
  CursorExpired,
  type Expired,
  type Policy,
  type SubscribeError,
  SubscriptionCut
} from "../../services/events/Subscription.ts"
import type { Topic } from "../../services/events/Topic.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import type { Session } from "../../services/session/Session.ts"
import { Backlog } from "./Backlog.ts"
import * as Intake from "./Intake.ts"
import { type LiveTopics, toDelivery } from "./LiveTopics.ts"
import type { Counts } from "./Subscribers.ts"

/** What is on record of a topic. */
export interface EventLog {
  readonly latest: Effect.Effect<number, StorageError>
  /** The next events above `after`, or from the oldest that is left: none only when there are none. */
  readonly read: (after: number, limit: number) => Effect.Effect<ReadonlyArray<Recorded>, StorageError>
  /** What stands for the events that are gone, if there is such a thing. */
  readonly snapshot: Effect.Effect<Session | undefined, StorageError>
  /** Keeps what is on record from `from()` on, until the scope closes. */
  readonly hold: (from: () => number) => Effect.Effect<void, never, Scope.Scope>
}

export interface Reader {
  readonly pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Delivery>, SubscribeError>
  readonly counts: () => Counts
}

/** Events handed out at a time. */
export const page = 256
/** Characters of them that are read from the record at a time, give or take one event: what a stalled reader holds. */
export const pageSize = 256 * 1024

export interface Options {
  readonly topic: Topic
  readonly from: number | undefined
  readonly policy: Policy
  readonly capacity: number
  readonly patience: Duration.Input
  readonly expired: Expired
}

/** `live` is the current life of the bus: it waits for the next one while there is none, and is done when none comes. */
export const make = Effect.fnUntraced(function* (
  { capacity, expired, from, patience, policy, topic }: Options,
  log: EventLog,
  live: Effect.Effect<LiveTopics, Cause.Done>,
  /** The newest sequence that was published, as far as this life of the bus knows. */
  published: () => number | undefined
) {
  const backlog = new Backlog(policy, capacity)
  const intake = yield* Intake.make({ subject: topic, policy, backlog, live, patience })
  /** Last sequence that the subscriber has, or was told it will not get; unknown until the first event from now on. */
  let cursor = from === undefined ? undefined : Math.max(from - 1, 0)
  yield* log.hold(() => (cursor === undefined ? (backlog.firstSeen ?? Infinity) : cursor + 1))
  yield* intake.attach
  const latest = yield* log.latest
  if (from !== undefined && from > latest + 1) return yield* new CursorAhead({ topic, from, latest })

  let isReplaying = cursor !== undefined && cursor < latest
  let delivered = 0
  let lost = 0
  /** Where it began to read. */
  let base = cursor
  /** What it begins with, in place of what is gone. */
  let opening: Delivery | undefined

  let first = cursor !== undefined && isReplaying ? yield* log.read(cursor, page) : undefined
  if (first !== undefined && cursor !== undefined && first[0]?.sequence !== cursor + 1) {
    const earliest = first[0]?.sequence ?? latest + 1
    const session = yield* log.snapshot
    if (expired === "fail") {
      const snapshot = session === undefined ? undefined : { snapshot: session }
      return yield* new CursorExpired({ topic, from: cursor + 1, earliest, ...snapshot })
    }
    if (session !== undefined) {
      opening = { _tag: "Snapshot", topic, sequence: session.sequence, earliest, session }
      base = cursor = session.sequence
      isReplaying = cursor < latest
      first = undefined
    }
  }

  const skipTo = (to: number, from: number): Delivery => {
    const start = cursor === undefined ? from : cursor + 1
    base ??= start - 1
    cursor = to
    lost += to - start + 1
    return { _tag: "Lagged", topic, from: start, to, count: to - start + 1 }
  }

  const replay = Effect.gen(function* () {
    backlog.isCatchingUp = true
    if (!intake.isAttached() && !backlog.isCut) yield* intake.attach
    const start = (cursor ??= latest)
    base ??= start
    const found = first ?? (yield* log.read(start, page))
    first = undefined
    const last = found.at(-1)?.sequence
    isReplaying = found.length === page || (last !== undefined && last < (yield* log.latest))
    const deliveries: Array<Delivery> = []
    for (const recorded of found) {
      if (recorded.sequence > cursor + 1) deliveries.push(skipTo(recorded.sequence - 1, recorded.sequence))
      deliveries.push(toDelivery(recorded))
      delivered++
      cursor = recorded.sequence
    }
    return deliveries
  })

  /** What is in the backlog that the subscriber does not have yet. */
  const takeLive = (): Array<Delivery> => {
    intake.taking()
    const { after, before, end, events, firstDropped, isBehind } = backlog.take(page)
    const deliveries: Array<Delivery> = []
    if (isBehind) {
      cursor ??= firstDropped === undefined ? undefined : firstDropped - 1
      // Without a cursor nothing was due that is not yet to come, unless the bus itself was away.
      isReplaying = cursor !== undefined || !intake.isAttached()
      return deliveries
    }
    backlog.isCatchingUp = false
    if (before !== undefined && before.to > (cursor ?? 0)) deliveries.push(skipTo(before.to, before.from))
    for (const event of events) {
      if (event._tag === "Ephemeral") {
        const follows = event.after ?? latest
        // One from before what the log had: its settled form has been delivered.
        if (cursor === undefined || follows >= cursor) deliveries.push({ ...event, after: cursor ?? follows })
        continue
      }
      if (cursor === undefined) base = cursor = event.sequence - 1
      if (event.sequence <= cursor) continue
      if (event.sequence > cursor + 1) {
        // What comes after it in the backlog is on record as well.
        backlog.fallBehind()
        isReplaying = true
        return deliveries
      }
      deliveries.push(event)
      delivered++
      cursor = event.sequence
    }
    if (after !== undefined && after.to > (cursor ?? 0)) deliveries.push(skipTo(after.to, after.from))
    if (end?._tag === "Event" && end.sequence > (cursor ?? 0)) {
      if (cursor !== undefined && end.sequence > cursor + 1) {
        // What lies before it was never published: all of it is on record, the end as well.
        isReplaying = true
        return deliveries
      }
      deliveries.push(end)
      delivered++
      cursor = end.sequence
    }
    return deliveries
  }

  type Next = Effect.Effect<ReadonlyArray<Delivery>, SubscribeError | Cause.Done>
  const next: Next = Effect.suspend((): Next => {
    if (opening !== undefined) {
      const snapshot = opening
      opening = undefined
      return Effect.succeed([snapshot])
    }
    if (isReplaying) return replay
    if (backlog.isCut && backlog.size === 0) {
      const reason = policy === "disconnect" ? "queue_full" : "publisher_waited"
      return Effect.fail(new SubscriptionCut({ topic, after: cursor ?? 0, reason }))
    }
    return Effect.tap(Effect.map(intake.ready, takeLive), intake.taken)
  })
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Delivery>, SubscribeError> = Effect.flatMap(next, (deliveries) =>
    Arr.isReadonlyArrayNonEmpty(deliveries) ? Effect.succeed(deliveries) : pull
  )

  const counts = (): Counts => {
    const newest = Math.max(from === undefined ? 0 : latest, published() ?? 0, backlog.lastSeen, cursor ?? 0)
    const start = base ?? (backlog.firstSeen === undefined ? newest : backlog.firstSeen - 1)
    // What the policy dropped and the reader has since found on record is not lost.
    const gone = lost + backlog.untoldAfter(cursor ?? 0)
    return {
      state: isReplaying || backlog.isBehind ? "replaying" : "live",
      published: newest - start,
      delivered,
      lost: gone,
      pending: newest - start - delivered - gone,
      depth: backlog.size,
      lag: newest - (cursor ?? start)
    }
  }
  return { pull, counts } satisfies Reader
})
