/** The event bus of a process that is to die at a given step of its work: told before and after each publication. */
import { Effect, Layer } from "effect"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import { EventBus } from "../../services/events/EventBus.ts"

export const steppedBus = (reach: (step: string) => void) =>
  Layer.effect(
    EventBus,
    Effect.map(PubSubEventBus.make(), (bus) => ({
      ...bus,
      publish: (events) =>
        Effect.sync(() => reach("before publish")).pipe(
          Effect.andThen(bus.publish(events)),
          Effect.andThen(Effect.sync(() => reach("after publish")))
        )
    }))
  )
