/**
 * Where supervisors tell what happens to their children.
 *
 * The event bus is itself a supervised child, so supervisors cannot ask for it: they leave their events here, and
 * whoever carries them on takes them from here. Both ends are bounded; when nobody takes, the oldest go. By default
 * nobody listens, and no event is even made.
 */
import { Context, Effect } from "effect"
import type { SupervisionEvent } from "./SupervisionEvent.ts"

export interface Told {
  readonly events: ReadonlyArray<SupervisionEvent>
  /** How many older ones had to go since the last time. */
  readonly lost: number
}

export const SupervisionEvents = Context.Reference<{
  /** Returns at once and never throws. */
  readonly tell: ((event: SupervisionEvent) => void) | undefined
  /** What has been told since the last time; waits for the first. For one taker. */
  readonly take: Effect.Effect<Told>
}>("espalier/supervision/SupervisionEvents", { defaultValue: () => ({ tell: undefined, take: Effect.never }) })
