/** What upkeep has done, published on `system:maintenance`. */
import { Schema } from "effect"

export const MaintenanceEvent = Schema.TaggedUnion({
  MaintenanceRan: {
    /** Left-over working directories that were removed. */
    removedDirectories: Schema.Int,
    /** Streams that were let go of because they were old. */
    removedWorkers: Schema.Int,
    removedSessions: Schema.Int,
    /** Old events of sessions that were let go of. */
    removedEvents: Schema.Int,
    /** Milliseconds it took. */
    took: Schema.Finite
  },
  MaintenanceFailed: { message: Schema.String }
})
export type MaintenanceEvent = typeof MaintenanceEvent.Type
