/** `RateLimits` on the token buckets of Effect's rate limiter. */
import { Duration, Effect, Layer, Metric } from "effect"
import { RateLimiter } from "effect/persistence"
import { RateLimited, RateLimits } from "../../services/limits/RateLimits.ts"
import * as BoundedRateLimiterStore from "./BoundedRateLimiterStore.ts"

const refusals = Metric.counter("espalier_rate_limited_total", {
  description: "Calls that a rate limit refused, by limit",
  incremental: true
})

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
                  Metric.update(Metric.withAttributes(refusals, { limit: name }), 1),
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
