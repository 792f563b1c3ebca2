/** `RateLimits` on the token buckets of Effect's rate limiter. */
import { Duration, Effect, Layer } from "effect"
import { RateLimiter } from "effect/persistence"
import { countRefusal, RateLimited, RateLimits } from "../../services/limits/RateLimits.ts"
import * as BoundedRateLimiterStore from "./BoundedRateLimiterStore.ts"

export const make = Effect.gen(function* () {
  const limiter = yield* RateLimiter.RateLimiter

  return RateLimits.of({
    take: ({ burst, limit, name, per }, { cost = 1, key = "" } = {}) => {
      const size = burst ?? limit
      if (!(limit > 0 && Number.isInteger(size) && size > 0 && Number.isInteger(cost) && cost >= 0)) {
        return Effect.die(new Error(`${name}: ${cost} tokens of ${size}, ${limit} at a time, cannot be reckoned with`))
      }
      if (cost > size) return Effect.fail(new RateLimited({ limit: name }))
      return limiter
        .consume({
          algorithm: "token-bucket",
          key: `${name}\n${key}`,
          limit: size,
          // In which an empty bucket fills.
          window: Duration.times(Duration.fromInputUnsafe(per), size / limit),
          tokens: cost
        })
        .pipe(
          Effect.catch(({ reason }) =>
            reason._tag === "RateLimitExceeded"
              ? Effect.andThen(
                  countRefusal(name),
                  Effect.fail(
                    new RateLimited({ limit: name, retryAfter: Math.ceil(Duration.toMillis(reason.retryAfter)) })
                  )
                )
              : Effect.die(reason)
          ),
          Effect.asVoid
        )
    }
  })
})

export const layer = (options?: BoundedRateLimiterStore.Options) =>
  Layer.effect(RateLimits, make).pipe(
    Layer.provide(RateLimiter.layer),
    Layer.provide(BoundedRateLimiterStore.layer(options))
  )
