/**
 * `EventBus` over Effect's `PubSub`: durable topics are joined to the journal, `system:` topics to a window in memory.
 *
 * The fan-out is a child of the runtime's foundation, and its life is the child's: when it crashes, readers keep their
 * cursors, wait for the next life and read on from the journal, and publishing goes on as if nobody listened.
 */
import { Cause, Clock, type Duration, Effect, Latch, Layer, Pull, Schedule, Stream } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import { defaultCapacity, judge, maxCapacity, type Subscription } from "../../services/events/Subscription.ts"
import { isDurable, isWildcard, type Topic } from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import * as SessionSnapshot from "../../services/session/SessionSnapshot.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import * as EventReader from "./EventReader.ts"
import { EventWindow } from "./EventWindow.ts"
import { LiveTopics } from "./LiveTopics.ts"
import { Subscribers } from "./Subscribers.ts"
import * as WildcardReader from "./WildcardReader.ts"

export interface Options {
  /** Events kept of each `system:` topic (default 1,000). */
  readonly window?: number | undefined
  /** How long a publisher waits for a reader that asked for backpressure before that reader is cut off (default 5 s). */
  readonly patience?: Duration.Input | undefined
}

export const make = Effect.fnUntraced(function* ({ patience = "5 seconds", window = 1_000 }: Options = {}) {
  const journal = yield* Journal
  const foundation = yield* Foundation
  const windows = new Map<Topic, EventWindow>()
  let life: LiveTopics | undefined
  const subscribers = new Subscribers()
  let isClosed = false
  /** Open while there is a life to attach to, and for good once there will be none. */
  const settled = yield* Latch.make()

  const child: ChildSpec = {
    id: "event bus",
    start: Effect.as(
      Effect.acquireRelease(
        Effect.sync(() => {
          life = new LiveTopics()
          Latch.openUnsafe(settled)
          return life
        }),
        (ended) =>
          Effect.suspend(() => {
            life = undefined
            if (!isClosed) Latch.closeUnsafe(settled)
            return ended.shutdown
          })
      ),
      Effect.repeat(subscribers.measure, Schedule.spaced("5 seconds"))
    )
  }
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true
      Latch.openUnsafe(settled)
    })
  )
  yield* Effect.acquireRelease(Effect.orDie(foundation.startChild(child)), () =>
    Effect.ignore(Effect.andThen(foundation.terminateChild(child.id), foundation.deleteChild(child.id)))
  )

  const live: Effect.Effect<LiveTopics, Cause.Done> = Effect.flatMap(settled.await, () =>
    isClosed ? Cause.done() : life === undefined ? live : Effect.succeed(life)
  )

  const windowOf = (topic: Topic) => {
    let found = windows.get(topic)
    if (found === undefined) windows.set(topic, (found = new EventWindow(topic, window)))
    return found
  }

  const logOf = (topic: Topic): EventReader.EventLog =>
    isDurable(topic)
      ? {
          latest: Effect.map(journal.head(topic), (head) => head?.sequence ?? 0),
          read: (after, limit) => journal.read({ stream: topic, after, limit, size: EventReader.pageSize }),
          snapshot: journal.snapshot(topic).pipe(
            Effect.map((snapshot) => (snapshot === undefined ? undefined : SessionSnapshot.view(snapshot))),
            // The events that are left can be read without it.
            Effect.catchTag("StorageCorrupt", () => Effect.succeed(undefined))
          ),
          hold: (from) => journal.hold(topic, from)
        }
      : {
          latest: Effect.sync(() => windowOf(topic).latest),
          read: (after, limit) => Effect.sync(() => windowOf(topic).read(after, limit)),
          snapshot: Effect.succeed(undefined),
          // A window goes on for everybody: who is too slow is told so.
          hold: () => Effect.void
        }

  const open = Effect.fnUntraced(
    function* (subscription: Subscription) {
      const refusal = judge(subscription)
      if (refusal !== undefined) return yield* refusal
      const { expired = "fail", from, topic } = subscription
      const policy = subscription.policy ?? (isWildcard(topic) ? "sliding" : "catchup")
      const capacity = Math.min(Math.max(Math.trunc(subscription.capacity ?? defaultCapacity), 1), maxCapacity)
      const { counts, pull } = isWildcard(topic)
        ? yield* WildcardReader.make({ wildcard: topic, policy, capacity, patience }, live)
        : yield* EventReader.make({ topic, from, policy, capacity, patience, expired }, logOf(topic), live, () =>
            life?.latest(topic)
          )
      yield* subscribers.add(subscription, { capacity, policy }, counts)
      return Stream.fromPull(Effect.succeed(pull))
    },
    Pull.catchDone(() => Effect.succeed(Stream.empty))
  )

  return EventBus.of({
    publish: (events) => Effect.suspend(() => life?.publish(events) ?? Effect.void),
    publishEphemeral: (topic, event) =>
      Effect.suspend(() =>
        life?.has(topic) === true
          ? Effect.flatMap(Clock.currentTimeMillis, (at) => life?.publishEphemeral(topic, at, event) ?? Effect.void)
          : Effect.void
      ),
    publishSystem: (topic, events) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) => {
        if (isDurable(topic)) return Effect.die(new Error(`${topic} has a journal: append to it, then publish`))
        const recorded = windowOf(topic).append(events, at)
        return life?.publish(recorded) ?? Effect.void
      }),
    subscribe: (subscription) => Stream.unwrap(open(subscription)),
    open,
    stats: (query) => Effect.sync(() => subscribers.stats(query))
  })
})

export const layer = (options?: Options) => Layer.effect(EventBus, make(options))
