/** How much of a stream may be let go of. Every journal decides it here. */
import type { Snapshot, StreamHead } from "./Journal.ts"

export interface Circumstances {
  readonly head: Pick<StreamHead, "sequence" | "earliest" | "open">
  readonly snapshot: Pick<Snapshot, "sequence" | "needs"> | undefined
  /** Lowest sequence that a reader holds; absent when none does. */
  readonly held: number | undefined
}

/** Events below this may go when those below `before` are to go: what is left can still make the writer's state. */
export const compactableBelow = (before: number, { head, held, snapshot }: Circumstances): number =>
  snapshot === undefined
    ? head.earliest
    : Math.max(head.earliest, Math.min(before, snapshot.sequence + 1, snapshot.needs, held ?? before))

export const isRemovable = (sequence: number, { head, held }: Omit<Circumstances, "snapshot">): boolean =>
  !head.open && head.sequence === sequence && held === undefined
