/**
 * `EventBus` over Effect's `PubSub`: durable topics are joined to the journal, `system:` topics to a window in memory.
 *
 * The fan-out is a child of the runtime's foundation, and its life is the child's: when it crashes, readers keep their
 * cursors, wait for the next life and read on from the journal, and publishing goes on as if nobody listened.
 */
import { Cause, Clock, Effect, Latch, Layer, Pull, Stream } from "effect"
import { EventBus, type Subscription } from "../../services/events/EventBus.ts"
import { isDurable, type Topic } from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import * as EventReader from "./EventReader.ts"
import { EventWindow } from "./EventWindow.ts"
import { LiveTopics } from "./LiveTopics.ts"

export interface Options {
  /** Events kept of each `system:` topic (default 1,000). */
  readonly window?: number | undefined
}

export const make = Effect.fnUntraced(function* ({ window = 1_000 }: Options = {}) {
  const journal = yield* Journal
  const foundation = yield* Foundation
  const windows = new Map<Topic, EventWindow>()
  let life: LiveTopics | undefined
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
      Effect.never
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
          read: (after, limit) => journal.read({ stream: topic, after, limit })
        }
      : {
          latest: Effect.sync(() => windowOf(topic).latest),
          read: (after, limit) => Effect.sync(() => windowOf(topic).read(after, limit))
        }

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
    subscribe: (subscription: Subscription) =>
      Stream.unwrap(
        EventReader.make(subscription, logOf(subscription.topic), live).pipe(
          Effect.map((pull) => Stream.fromPull(Effect.succeed(pull))),
          Pull.catchDone(() => Effect.succeed(Stream.empty))
        )
      )
  })
})

export const layer = (options?: Options) => Layer.effect(EventBus, make(options))
