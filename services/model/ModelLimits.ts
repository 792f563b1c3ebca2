/** How long a model may take. Ends a request that would otherwise hold a turn for ever. */
import { Context, Duration } from "effect"

export interface Limits {
  /** Longest silence of an answer that has begun, and longest wait for one to begin. */
  readonly idle: Duration.Duration
  /** Longest time for one answer, retries included. */
  readonly total: Duration.Duration
}

export const ModelLimits = Context.Reference<Limits>("espalier/model/ModelLimits", {
  defaultValue: () => ({ idle: Duration.seconds(30), total: Duration.minutes(10) })
})
