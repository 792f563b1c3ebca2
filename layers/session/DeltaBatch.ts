/** Gathers small pieces of text: the first goes out at once, those that follow closely go out together. */
import { Clock, Effect, Fiber } from "effect"

/** Longest that a piece is held back, in milliseconds. */
const PERIOD = 20

export interface DeltaBatch {
  readonly add: (text: string) => Effect.Effect<void>
  /** Hands out what is left, after which nothing comes any more. */
  readonly end: Effect.Effect<void>
}

/** Belongs to the fiber that adds. */
export const make = (publish: (text: string) => Effect.Effect<void>): DeltaBatch => {
  let pending = ""
  let publishedAt = -PERIOD
  let timer: Fiber.Fiber<void> | undefined

  const flush = Effect.uninterruptible(
    Effect.clockWith((clock) => {
      const text = pending
      pending = ""
      publishedAt = clock.currentTimeMillisUnsafe()
      return text === "" ? Effect.void : publish(text)
    })
  )
  const flushLater = (delay: number) =>
    Effect.map(
      Effect.forkChild(
        Effect.andThen(
          Effect.sleep(delay),
          Effect.suspend(() => {
            timer = undefined
            return flush
          })
        )
      ),
      (fiber) => {
        timer = fiber
      }
    )

  return {
    add: (text) => {
      pending += text
      if (timer !== undefined) return Effect.void
      return Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const due = publishedAt + PERIOD - now
        return due <= 0 ? flush : flushLater(due)
      })
    },
    end: Effect.suspend(() => (timer === undefined ? flush : Effect.andThen(Fiber.interrupt(timer), flush)))
  }
}
