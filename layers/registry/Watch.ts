/**
 * A query's result as it changes. A reader is told the difference between what it was last told and what is, and that is
 * worked out when it asks: what it is behind by costs nothing, and one that never asks holds its last result alone.
 */
import { Clock, Effect, Stream } from "effect"
import type { Agent } from "../../services/registry/Agent.ts"
import { type AgentChange, changesBetween } from "../../services/registry/AgentChange.ts"

/** Milliseconds between two differences at least, however much happens. */
const INTERVAL = 100

/** Counts the changes of the registry, and wakes who waits for the next. */
export class Changes {
  #count = 0
  readonly #waiting = new Set<() => void>()

  get count(): number {
    return this.#count
  }

  note(): void {
    this.#count++
    if (this.#waiting.size === 0) return
    const waiting = Array.from(this.#waiting)
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  /** Returns once there were others than the first `seen`. */
  beyond(seen: number): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.#count > seen) {
        resume(Effect.void)
        return
      }
      const wake = () => resume(Effect.void)
      this.#waiting.add(wake)
      return Effect.sync(() => this.#waiting.delete(wake))
    })
  }
}

interface Told {
  readonly seen: number
  readonly at: number
  readonly agents: ReadonlyArray<Agent>
}

export const watch = (changes: Changes, find: () => ReadonlyArray<Agent>): Stream.Stream<AgentChange> => {
  const now = Effect.map(Clock.currentTimeMillis, (at): Told => ({ seen: changes.count, at, agents: find() }))

  const next = Effect.fnUntraced(function* (
    told: Told | undefined
  ): Effect.fn.Return<readonly [ReadonlyArray<AgentChange>, Told]> {
    if (told === undefined) {
      const first = yield* now
      return [[{ _tag: "Snapshot", agents: first.agents }], first]
    }
    let before = told
    while (true) {
      yield* changes.beyond(before.seen)
      const rest = before.at + INTERVAL - (yield* Clock.currentTimeMillis)
      if (rest > 0) yield* Effect.sleep(rest)
      const after = yield* now
      const changed = changesBetween(before.agents, after.agents)
      if (changed.length > 0) return [changed, after]
      before = after
    }
  })

  return Stream.unfold<Told | undefined, ReadonlyArray<AgentChange>, never, never>(undefined, next).pipe(
    Stream.flattenIterable
  )
}
