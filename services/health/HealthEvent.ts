/** What the monitor measures, published on `system:health`. Times in milliseconds, sizes in bytes. */
import { Schema } from "effect"

export const HealthEvent = Schema.TaggedUnion({
  HealthSampled: {
    /** How late the event loop ran its timers since the last sample. */
    eventLoopDelay: Schema.Struct({ p50: Schema.Finite, p99: Schema.Finite, max: Schema.Finite }),
    rss: Schema.Int,
    heapUsed: Schema.Int,
    running: Schema.Int,
    queued: Schema.Int,
    agents: Schema.Int
  }
})
export type HealthEvent = typeof HealthEvent.Type
