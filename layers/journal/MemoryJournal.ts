/**
 * `Journal` in memory, for embedding and tests: as durable as the scope that holds it. It holds a fixed number of
 * events and then answers as a full disk does.
 */
import { Clock, Effect, Layer, Result } from "effect"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import type { Topic } from "../../services/events/Topic.ts"
import { Journal, type StreamHead } from "../../services/journal/Journal.ts"
import { planAppend } from "../../services/journal/planAppend.ts"
import { StorageFull } from "../../services/journal/StorageError.ts"
import { SortedNames } from "./SortedNames.ts"

export interface Options {
  /** Events that fit (default 1,000,000). */
  readonly capacity?: number | undefined
}

interface Stored {
  head: StreamHead
  readonly events: Array<Recorded>
}

export const make = Effect.fnUntraced(function* ({ capacity = 1_000_000 }: Options = {}) {
  const streams = new Map<string, Stored>()
  const all = new SortedNames()
  const open = new SortedNames()
  let size = 0
  yield* Effect.addFinalizer(() => Effect.sync(() => streams.clear()))

  const sequenceOf = (stream: Topic) => streams.get(stream)?.head.sequence ?? 0

  const store = (head: StreamHead) => {
    const stored = streams.get(head.stream)
    if (stored === undefined) {
      streams.set(head.stream, { head, events: [] })
      all.add(head.stream)
    } else stored.head = head
    if (head.open) open.add(head.stream)
    else open.remove(head.stream)
  }

  return Journal.of({
    append: (appends) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) => {
        const plan = planAppend(appends, sequenceOf, at)
        if (Result.isFailure(plan)) return Effect.die(plan.failure)
        const { heads, recorded } = plan.success
        if (size + recorded.length > capacity) {
          return Effect.fail(new StorageFull({ detail: `the journal in memory holds ${capacity} events` }))
        }
        size += recorded.length
        for (const head of heads) store(head)
        for (const event of recorded) streams.get(event.topic)?.events.push(event)
        return Effect.succeed(recorded)
      }),
    read: ({ after, limit = 1_000, stream }) =>
      Effect.sync(() => streams.get(stream)?.events.slice(Math.max(after, 0), Math.max(after, 0) + limit) ?? []),
    head: (stream) => Effect.sync(() => streams.get(stream)?.head),
    heads: ({ before, limit, open: onlyOpen, prefix }) =>
      Effect.sync(() =>
        (onlyOpen === true ? open : all)
          .descending(prefix, before)
          .take(Math.max(limit, 0))
          .flatMap((name) => {
            const stored = streams.get(name)
            return stored === undefined ? [] : [stored.head]
          })
          .toArray()
      )
  })
})

export const layer = (options?: Options) => Layer.effect(Journal, make(options))
