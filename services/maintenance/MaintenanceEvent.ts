/** What upkeep has done, published on `system:maintenance`. */
import { Schema } from "effect"

export const MaintenanceEvent = Schema.TaggedUnion({
  MaintenanceRan: {
    /** Left-over working directories that were removed. */
    removedDirectories: Schema.Int,
    /** Milliseconds it took. */
    took: Schema.Finite
  },
  MaintenanceFailed: { message: Schema.String }
})
export type MaintenanceEvent = typeof MaintenanceEvent.Type
