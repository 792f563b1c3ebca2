/** So many at a time, and so many in line behind them in the order in which they came; whoever comes then is refused. */
import { Effect, Scope } from "effect"

export interface Turnstile {
  /** Waits for a place, which is given back with the scope. */
  readonly enter: Effect.Effect<void, Crowded, Scope.Scope>
}

export class Crowded {
  readonly _tag = "Crowded"
  readonly waiting: number
  constructor(waiting: number) {
    this.waiting = waiting
  }
}

/** All it does costs the same however many wait. */
export const make = (places: number, line: number): Turnstile => {
  let free = places
  const waiting = new Set<() => void>()

  const leave = Effect.sync(() => {
    const [next] = waiting
    if (next === undefined) {
      free++
      return
    }
    // The place goes from hand to hand.
    waiting.delete(next)
    next()
  })

  const take = Effect.callback<void, Crowded>((resume) => {
    if (free > 0) {
      free--
      return resume(Effect.void)
    }
    if (waiting.size >= line) return resume(Effect.fail(new Crowded(waiting.size)))
    let hasPlace = false
    const go = () => {
      hasPlace = true
      resume(Effect.void)
    }
    waiting.add(go)
    return Effect.suspend(() => {
      waiting.delete(go)
      // It was handed a place in the instant in which it gave up.
      return hasPlace ? leave : Effect.void
    })
  })

  const enter = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.scope, (scope) => Effect.andThen(restore(take), Scope.addFinalizer(scope, leave)))
  )
  return { enter }
}
