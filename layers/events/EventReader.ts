/**
 * One subscription: a cursor that moves along a topic, over what is on record and over what is live.
 *
 * It listens before it looks, so that nothing can fall between: first the live events go to its backlog, then it reads
 * the log from its cursor, then it takes the backlog and drops what it already has. Whenever the live events do not
 * follow its cursor (the backlog overflowed, the bus was restarted, a writer died between journal and bus) it goes
 * back to the log from where it stands. So there is one way to be up to date, at the start and ever after.
 */
import { Array as Arr, type Cause, Effect, Exit, Latch, PubSub, type Pull, Scope } from "effect"
import { CursorAhead, type Policy, type Subscription } from "../../services/events/EventBus.ts"
import type { Delivery, Recorded } from "../../services/events/RuntimeEvent.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import { Backlog } from "./Backlog.ts"
import { type LiveTopics, toDelivery } from "./LiveTopics.ts"

/** What is on record of a topic. */
export interface EventLog {
  readonly latest: Effect.Effect<number, StorageError>
  /** Events above `after`, or from the oldest that is left. */
  readonly read: (after: number, limit: number) => Effect.Effect<ReadonlyArray<Recorded>, StorageError>
}

/** Events read from the log at a time: few enough to stay small when each carries a tool's result. */
const PAGE = 256

const DEFAULT_CAPACITY = 1_024
const MAX_CAPACITY = 65_536
const DEFAULT_POLICY: Policy = "catchup"

/** `live` is the current life of the bus: it waits for the next one while there is none, and is done when none comes. */
export const make = Effect.fnUntraced(function* (
  subscription: Subscription,
  log: EventLog,
  live: Effect.Effect<LiveTopics, Cause.Done>
) {
  const { capacity = DEFAULT_CAPACITY, from, policy = DEFAULT_POLICY, topic } = subscription
  const backlog = new Backlog(policy, Math.min(Math.max(Math.trunc(capacity), 1), MAX_CAPACITY))
  /** Open while there is something in the backlog. */
  const ready = yield* Latch.make()
  const scope = yield* Effect.scope
  let attachment: Scope.Closeable | undefined
  let isAttached = false

  const attach = Effect.gen(function* () {
    if (attachment !== undefined) yield* Scope.close(attachment, Exit.void)
    const topics = yield* live
    attachment = yield* Scope.fork(scope)
    const published = yield* Scope.provide(topics.attach(topic), attachment)
    isAttached = true
    const drain = PubSub.takeAll(published).pipe(
      Effect.flatMap((batches) => {
        for (const batch of batches) backlog.offer(batch)
        // By the scheduler: opened directly, the reader would run, and the publisher wait for it, right here.
        return ready.open
      }),
      Effect.forever,
      // The bus ended this life: whatever is published until the next one is on record.
      Effect.ensuring(
        Effect.suspend(() => {
          isAttached = false
          backlog.fallBehind()
          return ready.open
        })
      )
    )
    yield* Effect.forkIn(drain, attachment, { startImmediately: true })
  })

  yield* attach
  const latest = yield* log.latest
  if (from !== undefined && from > latest + 1) return yield* new CursorAhead({ topic, from, latest })

  /** Last sequence that the subscriber has, or was told it will not get; unknown until the first event from now on. */
  let cursor = from === undefined ? undefined : Math.max(from - 1, 0)
  let isReplaying = cursor !== undefined && cursor < latest

  const skipTo = (to: number, first: number): Delivery => {
    const lagged = { _tag: "Lagged" as const, topic, from: cursor === undefined ? first : cursor + 1, to }
    cursor = to
    return { ...lagged, count: lagged.to - lagged.from + 1 }
  }

  const replay = Effect.gen(function* () {
    if (!isAttached) yield* attach
    const page = yield* log.read((cursor ??= latest), PAGE)
    isReplaying = page.length === PAGE
    const deliveries: Array<Delivery> = []
    for (const recorded of page) {
      if (recorded.sequence > cursor + 1) deliveries.push(skipTo(recorded.sequence - 1, recorded.sequence))
      deliveries.push(toDelivery(recorded))
      cursor = recorded.sequence
    }
    return deliveries
  })

  /** Everything in the backlog that the subscriber does not have yet. */
  const takeLive = (): Array<Delivery> => {
    Latch.closeUnsafe(ready)
    const { events, firstDropped, isBehind, lost } = backlog.take()
    const deliveries: Array<Delivery> = []
    if (isBehind) {
      cursor ??= firstDropped === undefined ? undefined : firstDropped - 1
      // Without a cursor nothing was due that is not yet to come, unless the bus itself was away.
      isReplaying = cursor !== undefined || !isAttached
      return deliveries
    }
    if (lost !== undefined && lost.to > (cursor ?? 0)) deliveries.push(skipTo(lost.to, lost.from))
    for (const event of events) {
      if (event._tag === "Ephemeral") {
        const after = event.after ?? latest
        // One from before what the log had: its settled form has been delivered.
        if (cursor === undefined || after >= cursor) deliveries.push({ ...event, after: cursor ?? after })
        continue
      }
      cursor ??= event.sequence - 1
      if (event.sequence <= cursor) continue
      if (event.sequence > cursor + 1) {
        isReplaying = true
        break
      }
      deliveries.push(event)
      cursor = event.sequence
    }
    return deliveries
  }

  const next: Effect.Effect<ReadonlyArray<Delivery>, StorageError | Cause.Done> = Effect.suspend(() =>
    isReplaying ? replay : Effect.map(ready.await, takeLive)
  )
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Delivery>, StorageError> = Effect.flatMap(next, (deliveries) =>
    Arr.isReadonlyArrayNonEmpty(deliveries) ? Effect.succeed(deliveries) : pull
  )
  return pull
})
