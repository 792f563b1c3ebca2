/** What is done to the pools and what they do by themselves, published on `system:pool`. */
import { Schema } from "effect"

export const ResizedBy = Schema.Literals(["operator", "autoscaler", "warm_up"])
export type ResizedBy = typeof ResizedBy.Type

export const PoolEvent = Schema.TaggedUnion({
  PoolResized: {
    pool: Schema.String,
    /** Permits. */
    from: Schema.Int,
    to: Schema.Int,
    by: ResizedBy,
    reason: Schema.String
  },
  PoolPaused: { pool: Schema.String },
  PoolResumed: { pool: Schema.String },
  PoolDraining: { pool: Schema.String, running: Schema.Int, queued: Schema.Int },
  PoolDrained: { pool: Schema.String }
})
export type PoolEvent = typeof PoolEvent.Type
