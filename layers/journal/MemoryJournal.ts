/**
 * `Journal` in memory, for embedding and tests: as durable as the scope that holds it. It holds a fixed number of
 * events and then answers as a full disk does.
 */
import { Clock, Effect, Layer, Result } from "effect"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import type { Topic } from "../../services/events/Topic.ts"
import { Journal, type Snapshot, type StreamHead } from "../../services/journal/Journal.ts"
import { planAppend, type PlannedHead } from "../../services/journal/planAppend.ts"
import { compactableBelow, isRemovable } from "../../services/journal/planRemoval.ts"
import { StorageFull } from "../../services/journal/StorageError.ts"
import { Holds } from "./Holds.ts"
import { SortedNames } from "./SortedNames.ts"

export interface Options {
  /** Events that fit (default 1,000,000). */
  readonly capacity?: number | undefined
}

interface Stored {
  head: StreamHead
  /** From the earliest that is left. */
  events: Array<Recorded>
  snapshot: Snapshot | undefined
}

/** Names by a key, as far as there are any. */
class NamesBy {
  readonly #names = new Map<string, SortedNames>()

  get(key: string): SortedNames {
    return this.#names.get(key) ?? new SortedNames()
  }

  add(key: string | undefined, name: string): void {
    if (key === undefined) return
    const names = this.#names.get(key) ?? new SortedNames()
    this.#names.set(key, names)
    names.add(name)
  }

  remove(key: string | undefined, name: string): void {
    if (key === undefined) return
    const names = this.#names.get(key)
    names?.remove(name)
    if (names?.isEmpty === true) this.#names.delete(key)
  }
}

export const make = Effect.fnUntraced(function* ({ capacity = 1_000_000 }: Options = {}) {
  const streams = new Map<string, Stored>()
  const all = new SortedNames()
  const open = new SortedNames()
  const byOwner = new NamesBy()
  const byLabel = new NamesBy()
  const holds = new Holds()
  let size = 0
  yield* Effect.addFinalizer(() => Effect.sync(() => streams.clear()))

  const sequenceOf = (stream: Topic) => streams.get(stream)?.head.sequence ?? 0

  const store = (planned: PlannedHead): void => {
    const stored = streams.get(planned.stream)
    const former = stored?.head
    const owner = former === undefined ? planned.owner : former.owner
    const { label, stream } = planned
    const head: StreamHead = {
      stream,
      sequence: planned.sequence,
      earliest: former?.earliest ?? 1,
      open: planned.open,
      summary: planned.summary,
      ...(owner === undefined ? undefined : { owner }),
      ...(label === undefined ? undefined : { label })
    }
    if (stored === undefined) {
      streams.set(stream, { head, events: [], snapshot: undefined })
      all.add(stream)
      byOwner.add(owner, stream)
    } else stored.head = head
    if (head.open) open.add(stream)
    else open.remove(stream)
    if (former?.label !== label) {
      byLabel.remove(former?.label, stream)
      byLabel.add(label, stream)
    }
  }

  const forget = ({ events, head }: Stored): void => {
    streams.delete(head.stream)
    size -= events.length
    all.remove(head.stream)
    byOwner.remove(head.owner, head.stream)
    byLabel.remove(head.label, head.stream)
  }

  return Journal.of({
    append: (appends) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) => {
        const plan = planAppend(appends, sequenceOf, at)
        if (Result.isFailure(plan)) return Effect.die(plan.failure)
        const { heads, recorded, snapshots } = plan.success
        if (size + recorded.length > capacity) {
          return Effect.fail(new StorageFull({ detail: `the journal in memory holds ${capacity} events` }))
        }
        size += recorded.length
        for (const head of heads) store(head)
        for (const event of recorded) streams.get(event.topic)?.events.push(event)
        for (const [stream, snapshot] of snapshots) {
          const stored = streams.get(stream)
          if (stored !== undefined) stored.snapshot = snapshot
        }
        return Effect.succeed(recorded)
      }),
    read: ({ after, limit = 1_000, stream }) =>
      Effect.sync(() => {
        const stored = streams.get(stream)
        if (stored === undefined) return []
        const from = Math.max(after, stored.head.earliest - 1) - stored.head.earliest + 1
        return stored.events.slice(from, from + Math.max(limit, 0))
      }),
    head: (stream) => Effect.sync(() => streams.get(stream)?.head),
    heads: ({ before, label, limit, open: onlyOpen = false, order = "newest first", owner, prefix }) =>
      Effect.sync(() => {
        const names =
          owner !== undefined ? byOwner.get(owner) : label !== undefined ? byLabel.get(label) : onlyOpen ? open : all
        const found = order === "newest first" ? names.descending(prefix, before) : names.ascending(prefix, before)
        return found
          .flatMap((name) => {
            const stored = streams.get(name)
            return stored === undefined ? [] : [stored.head]
          })
          .filter((head) => (!onlyOpen || head.open) && (label === undefined || head.label === label))
          .take(Math.max(limit, 0))
          .toArray()
      }),
    snapshot: (stream) => Effect.sync(() => streams.get(stream)?.snapshot),
    hold: holds.hold,
    compact: ({ before, stream }) =>
      Effect.sync(() => {
        const stored = streams.get(stream)
        if (stored === undefined) return 1
        const { head, snapshot } = stored
        const earliest = compactableBelow(before, { head, snapshot, held: holds.lowest(stream) })
        const gone = earliest - head.earliest
        stored.events = stored.events.slice(gone)
        stored.head = { ...head, earliest }
        size -= gone
        return earliest
      }),
    remove: ({ sequence, stream }) =>
      Effect.sync(() => {
        const stored = streams.get(stream)
        if (stored === undefined) return false
        if (!isRemovable(sequence, { head: stored.head, held: holds.lowest(stream) })) return false
        forget(stored)
        return true
      })
  })
})

export const layer = (options?: Options) => Layer.effect(Journal, make(options))
