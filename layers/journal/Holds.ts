/** Who reads which stream from where: what may not be let go of meanwhile. */
import { Effect, Scope } from "effect"
import type { Topic } from "../../services/events/Topic.ts"

export class Holds {
  readonly #holds = new Map<Topic, Set<() => number>>()

  readonly hold = (stream: Topic, from: () => number) =>
    Effect.uninterruptible(
      Effect.flatMap(Effect.scope, (scope) => {
        // A hold of its own, also when one reader holds a stream twice.
        const hold = () => from()
        const held = this.#holds.get(stream)
        if (held === undefined) this.#holds.set(stream, new Set([hold]))
        else held.add(hold)
        return Scope.addFinalizer(
          scope,
          Effect.sync(() => {
            const held = this.#holds.get(stream)
            held?.delete(hold)
            if (held?.size === 0) this.#holds.delete(stream)
          })
        )
      })
    )

  /** Lowest sequence of the stream that someone holds. */
  lowest(stream: Topic): number | undefined {
    const held = this.#holds.get(stream)
    return held === undefined ? undefined : Array.from(held).reduce((low, from) => Math.min(low, from()), Infinity)
  }
}
