/**
 * The pool's writing hand: appends to `worker:` streams, folds what was written and publishes it, as one step that no
 * interruption cuts in two; so memory, journal and subscribers never differ about a worker's sequence.
 */
import { Clock, Effect, Schedule } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import type { Topic } from "../../services/events/Topic.ts"
import { type Append, Journal } from "../../services/journal/Journal.ts"
import { fold, isEnded, summarize, type Worker } from "../../services/worker/Worker.ts"
import type { WorkerEvent } from "../../services/worker/WorkerEvent.ts"
import type { Entry } from "./PoolEntry.ts"

export type Events = readonly [WorkerEvent, ...Array<WorkerEvent>]

export interface Change {
  readonly entry: Entry
  readonly events: Events
}

/** The append that takes a worker's stream on by some events. `worker` is undefined for a new stream. */
export const appendOf = (
  stream: Topic,
  worker: Worker | undefined,
  events: Events,
  now: number
): { readonly append: Append; readonly worker: Worker } => {
  if (worker !== undefined && isEnded(worker)) throw new Error(`${stream} has had its last event`)
  const after = worker?.sequence ?? 0
  let next = worker
  events.forEach((event, index) => {
    next = fold(next, { topic: stream, sequence: after + 1 + index, at: now, event })
  })
  if (next === undefined) throw new Error(`the first event of ${stream} must be WorkerQueued`)
  const hasEnded = isEnded(next)
  return {
    worker: next,
    append: {
      stream,
      after,
      events,
      open: !hasEnded,
      summary: JSON.stringify(summarize(next)),
      owner: next.sessionId,
      // Listings by status find ended workers by it; those that have not ended are all in memory.
      ...(hasEnded ? { label: next.status } : undefined)
    }
  }
}

/** How often a refused append is tried again: the store may be full for hours, and then has room. */
export const patiently = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("10 seconds")])

export const make = Effect.gen(function* () {
  const journal = yield* Journal
  const bus = yield* EventBus
  const clock = yield* Clock.Clock

  /** One atomic append over all their streams, durable and published when it returns. */
  const record = Effect.fnUntraced(function* (changes: ReadonlyArray<Change>) {
    const now = clock.currentTimeMillisUnsafe()
    const recorded = yield* journal.append(
      changes.map(({ entry, events }) => appendOf(entry.topic, entry.worker, events, now).append)
    )
    const byTopic = new Map<Topic, Array<Recorded>>()
    for (const event of recorded) {
      const events = byTopic.get(event.topic)
      if (events === undefined) byTopic.set(event.topic, [event])
      else events.push(event)
    }
    for (const { entry } of changes) {
      for (const event of byTopic.get(entry.topic) ?? []) entry.worker = fold(entry.worker, event) ?? entry.worker
    }
    yield* bus.publish(recorded)
  }, Effect.uninterruptible)

  return { journal, bus, clock, record }
})

export type WorkerRecords = Effect.Success<typeof make>
