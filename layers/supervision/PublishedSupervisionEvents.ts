/**
 * Carries what supervisors tell to the topic `system:agents`, as a child of the runtime's foundation. Build it after
 * the event bus, with the `SupervisionEvents` that the runtime's tree was built with.
 */
import { Effect, Layer } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { SupervisionEvents } from "../../services/supervision/SupervisionEvents.ts"

const id = "supervision events"

export const make = Effect.gen(function* () {
  const bus = yield* EventBus
  const foundation = yield* Foundation
  const { take } = yield* SupervisionEvents

  const carry = Effect.flatMap(take, ({ events, lost }) =>
    Effect.andThen(
      lost === 0 ? Effect.void : Effect.logWarning(`${lost} supervision events came too fast to be published`),
      bus.publishSystem(Topic.agents, events)
    )
  )
  yield* Effect.acquireRelease(
    Effect.orDie(foundation.startChild({ id, start: Effect.succeed(Effect.forever(carry)) })),
    () => Effect.ignore(Effect.andThen(foundation.terminateChild(id), foundation.deleteChild(id)))
  )
})

export const layer = Layer.effectDiscard(make)
