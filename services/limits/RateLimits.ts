/**
 * Rate limits: token buckets, one for each limit and key.
 *
 * A bucket holds up to `burst` tokens and gains `limit` tokens in each `per`. A call takes as many as it costs or is
 * refused and takes none, so that in any time t no more than burst + limit / per * t is granted, however many ask at
 * once. Time is monotonic: a wall clock that is put back or forward grants nothing.
 */
import { Context, type Duration, type Effect, Metric, Schema } from "effect"

export interface Rate {
  /** So many tokens … */
  readonly limit: number
  /** … in so long a time. */
  readonly per: Duration.Input
  /** Most tokens saved up: so many can be taken at once (default `limit`). A whole number. */
  readonly burst?: number | undefined
}

export interface RateLimit extends Rate {
  /** Known to operators: `tool:analyze_codebase`, `model:openai`. Keys are counted apart under each name. */
  readonly name: string
}

/** More was asked than the limit allows now. Nothing was taken. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  limit: Schema.String,
  /** Milliseconds after which the same call would be granted if nobody else asks; absent when it costs more than a full bucket. */
  retryAfter: Schema.optionalKey(Schema.Int)
}) {
  override get message() {
    return this.retryAfter === undefined
      ? `${this.limit}: this costs more than the rate limit ever allows at once; ask for less`
      : `${this.limit}: the rate limit is used up; try again in ${Math.ceil(this.retryAfter / 1000)} s`
  }
}

export class RateLimits extends Context.Service<
  RateLimits,
  {
    /** Takes `cost` tokens (default 1, a whole number) of the bucket that `key` has under the limit. */
    readonly take: (
      limit: RateLimit,
      options?: { readonly key?: string | undefined; readonly cost?: number | undefined }
    ) => Effect.Effect<void, RateLimited>
  }
>()("espalier/limits/RateLimits") {}

const refusals = Metric.counter("espalier_rate_limited_total", {
  description: "Calls that a rate limit refused, by limit",
  incremental: true
})

/** Whoever keeps a limit counts what it refused, under the limit's name. */
export const countRefusal = (limit: string): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(refusals, { limit }), 1)
