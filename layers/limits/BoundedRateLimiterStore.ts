/**
 * Where Effect's rate limiter keeps its token buckets: in memory, at most `keys` of them, on monotonic time.
 *
 * A full bucket is worth as much as none. So when there are as many as there may be, the ones that nobody used for
 * longest make room as they fill up; while none of them is full, new keys are refused. Each step costs the same however many
 * buckets there are.
 */
import { Duration, Effect, Layer } from "effect"
import { RateLimiter } from "effect/persistence"
import * as TokenBucket from "../../services/limits/TokenBucket.ts"
import { steadyMillis } from "../../services/limits/SteadyClock.ts"

export interface Options {
  /** Most buckets that are not full (default 100,000). */
  readonly keys?: number | undefined
}

export const defaultKeys = 100_000

/** Buckets looked at for one that can make room. */
const looks = 4

export const make = Effect.fnUntraced(function* ({ keys = defaultKeys }: Options) {
  const others = yield* RateLimiter.RateLimiterStore
  const buckets = new Map<string, TokenBucket.TokenBucket>()

  /** Milliseconds until there is room, 0 when there is. */
  const makeRoom = (now: number): number => {
    if (buckets.size < keys) return 0
    let wait = Infinity
    let looked = 0
    for (const [key, bucket] of buckets) {
      TokenBucket.refresh(bucket, now)
      if (bucket.tokens >= bucket.size) {
        buckets.delete(key)
        return 0
      }
      wait = Math.min(wait, TokenBucket.wait(bucket, bucket.size, now))
      if (++looked === looks) break
    }
    return Math.max(1, wait)
  }

  return RateLimiter.RateLimiterStore.of({
    ...others,
    tokenBucket: ({ allowOverflow, key, limit, refillRate, tokens }) =>
      Effect.clockWith((clock) =>
        Effect.suspend(() => {
          const now = steadyMillis(clock)
          let bucket = buckets.get(key)
          if (bucket === undefined) {
            const wait = makeRoom(now)
            if (wait > 0) {
              const retryAfter = Duration.millis(wait)
              return Effect.fail(
                new RateLimiter.RateLimiterError({
                  reason: new RateLimiter.RateLimitExceeded({ key, limit, remaining: 0, retryAfter })
                })
              )
            }
            bucket = TokenBucket.full(limit, Duration.toMillis(refillRate), now)
          }
          TokenBucket.refresh(bucket, now)
          TokenBucket.resize(bucket, limit, Duration.toMillis(refillRate), now)
          const left = bucket.tokens - tokens
          if (allowOverflow || left >= 0) bucket.tokens = left
          // The last in the map is the one used last.
          buckets.delete(key)
          buckets.set(key, bucket)
          return Effect.succeed([left, Math.max(0, now - bucket.countedTo)] as const)
        })
      )
  })
})

export const layer = (options: Options = {}) =>
  Layer.effect(RateLimiter.RateLimiterStore, make(options)).pipe(Layer.provide(RateLimiter.layerStoreMemory))
