/**
 * Where supervisors tell what happens to their children.
 *
 * The event bus is itself a supervised child, so supervisors cannot ask for it: they hand their events to this sink,
 * and a layer carries them from there to the bus. A sink must return at once and never throw; by default nobody listens.
 */
import { Context } from "effect"
import type { SupervisionEvent } from "./SupervisionEvent.ts"

export const SupervisionEvents = Context.Reference<{
  readonly emit: ((event: SupervisionEvent) => void) | undefined
}>("espalier/supervision/SupervisionEvents", { defaultValue: () => ({ emit: undefined }) })
