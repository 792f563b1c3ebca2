/**
 * From the fan-out into a subscriber's backlog: the one place where a subscriber meets a `PubSub`.
 *
 * It never waits for the reader, but for one that asked for backpressure: then it stops taking when the backlog is
 * full, so that the fan-out of this topic fills up and the publisher waits. A reader that keeps it waiting for longer
 * than `patience` is cut off. Whoever is cut off leaves the fan-out at once, and only then hears of it.
 */
import { type Cause, type Duration, Effect, Exit, Latch, PubSub, Scope } from "effect"
import type { Policy } from "../../services/events/Subscription.ts"
import type { Subject } from "../../services/events/Topic.ts"
import type { Backlog } from "./Backlog.ts"
import type { Batch, LiveTopics } from "./LiveTopics.ts"

export interface Intake {
  /** Listens to the current life of the bus, or to the next one when there is none. */
  readonly attach: Effect.Effect<void, Cause.Done>
  readonly isAttached: () => boolean
  /** Waits until there is something in the backlog. */
  readonly ready: Effect.Effect<void>
  /** To be called before the backlog is taken from. */
  readonly taking: () => void
  /** To be run after it was taken from. */
  readonly taken: Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* (options: {
  readonly subject: Subject
  readonly policy: Policy
  readonly backlog: Backlog
  readonly live: Effect.Effect<LiveTopics, Cause.Done>
  readonly patience: Duration.Input
}) {
  const { backlog, live, patience, policy, subject } = options
  /** Open while there is something in the backlog. */
  const ready = yield* Latch.make()
  /** Opened whenever the reader has taken something. */
  const room = yield* Latch.make()
  const scope = yield* Effect.scope
  let attachment: Scope.Closeable | undefined
  let isAttached = false

  const fill = (batch: Batch): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (backlog.hasRoomFor(batch)) {
        backlog.offer(batch)
        return Effect.void
      }
      Latch.closeUnsafe(room)
      return room.await.pipe(
        Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.sync(() => backlog.cut()) }),
        Effect.andThen(Effect.suspend(() => (backlog.isCut ? Effect.void : fill(batch))))
      )
    })

  const attach = Effect.gen(function* () {
    if (attachment !== undefined) yield* Scope.close(attachment, Exit.void)
    const topics = yield* live
    attachment = yield* Scope.fork(scope)
    const listening = yield* Scope.fork(attachment)
    const published = yield* Scope.provide(topics.attach(subject), listening)
    isAttached = true
    const take =
      policy === "backpressure"
        ? Effect.flatMap(PubSub.take(published), fill)
        : Effect.map(PubSub.takeAll(published), (batches) => {
            for (const batch of batches) backlog.offer(batch)
          })
    const takeOne = Effect.andThen(take, () =>
      // By the scheduler: opened directly, the reader would run, and the publisher wait for it, right here.
      backlog.isCut ? Effect.andThen(Scope.close(listening, Exit.void), ready.open) : ready.open
    )
    const drain = Effect.whileLoop({
      while: () => !backlog.isCut,
      body: () => takeOne,
      step: () => undefined
    }).pipe(
      // The bus ended this life: whatever is published until the next one is on record.
      Effect.ensuring(
        Effect.suspend(() => {
          isAttached = false
          if (!backlog.isCut) backlog.fallBehind()
          return ready.open
        })
      )
    )
    yield* Effect.forkIn(drain, attachment, { startImmediately: true })
  })

  return {
    attach,
    isAttached: () => isAttached,
    ready: ready.await,
    taking: () => Latch.closeUnsafe(ready),
    taken: Effect.suspend(() =>
      Effect.andThen(policy === "backpressure" ? room.open : Effect.void, backlog.isQuiet ? Effect.void : ready.open)
    )
  } satisfies Intake
})
