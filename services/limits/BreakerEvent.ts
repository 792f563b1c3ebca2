/** What happens to circuit breakers, published on `system:health`. */
import { Schema } from "effect"

export const BreakerEvent = Schema.TaggedUnion({
  /** Calls are refused for `retryAfter` milliseconds. */
  BreakerOpened: { breaker: Schema.String, retryAfter: Schema.Int, openings: Schema.Int },
  /** One call is let through, to see. */
  BreakerHalfOpened: { breaker: Schema.String },
  BreakerClosed: { breaker: Schema.String }
})
export type BreakerEvent = typeof BreakerEvent.Type
