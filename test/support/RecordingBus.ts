/** An event bus that keeps what was told to the system topics; for layers that only tell. */
import { Effect, Layer } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"

export const recordingBus = (told: Array<RuntimeEvent>) =>
  Layer.mock(EventBus, { publishSystem: (_topic, events) => Effect.sync(() => void told.push(...events)) })
