/**
 * Who is idle, in the order in which they became so: whoever is due is always in front, so that one fiber keeps the time
 * of all of them and no look costs more than what it finds.
 */
import { Clock, Effect } from "effect"

export class IdleList<A> {
  readonly #after: number
  readonly #since = new Map<A, number>()
  #wake: (() => void) | undefined

  /** Milliseconds after which an idle one is due; infinite for never. */
  constructor(after: number) {
    this.#after = after
  }

  /** It became idle now, whatever was before. */
  add(one: A, now: number): void {
    if (this.#after === Infinity) return
    this.#since.delete(one)
    this.#since.set(one, now)
    this.#wake?.()
  }

  delete(one: A): void {
    this.#since.delete(one)
  }

  get size(): number {
    return this.#since.size
  }

  /** Takes those that are due. */
  take(now: number): ReadonlyArray<A> {
    const due: Array<A> = []
    for (const [one, since] of this.#since) {
      if (now < since + this.#after) break
      this.#since.delete(one)
      due.push(one)
    }
    return due
  }

  readonly #someone: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.#since.size > 0) resume(Effect.void)
    else {
      this.#wake = () => {
        this.#wake = undefined
        resume(Effect.void)
      }
    }
  })

  /** Waits until somebody is due, and takes all who are. For one fiber only. */
  readonly due: Effect.Effect<ReadonlyArray<A>> = Effect.andThen(
    this.#someone,
    Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<ReadonlyArray<A>> => {
      const due = this.take(now)
      const [next] = this.#since.values()
      if (due.length > 0 || next === undefined) return Effect.succeed(due)
      return Effect.as(Effect.sleep(next + this.#after - now), due)
    })
  )
}
