/** `SupervisionEvents` in a sliding queue. Provide it to the runtime's tree, and the same one to whoever takes. */
import { Effect, Layer, Queue } from "effect"
import type { SupervisionEvent } from "../../services/supervision/SupervisionEvent.ts"
import { SupervisionEvents } from "../../services/supervision/SupervisionEvents.ts"

export interface Options {
  /** Events that may wait (default 4,096). */
  readonly capacity?: number | undefined
}

/** Carried on at once: enough to make batches worth while, few enough to leave the event loop to others. */
const batch = 512

export const make = Effect.fnUntraced(function* ({ capacity = 4_096 }: Options = {}) {
  const queue = yield* Effect.acquireRelease(Queue.sliding<SupervisionEvent>(capacity), Queue.shutdown)
  let lost = 0
  return {
    tell: (event: SupervisionEvent) => {
      if (Queue.sizeUnsafe(queue) === capacity) lost++
      Queue.offerUnsafe(queue, event)
    },
    take: Effect.map(Queue.takeBetween(queue, 1, batch), (events) => {
      const told = { events, lost }
      lost = 0
      return told
    })
  }
})

export const layer = (options?: Options) => Layer.effect(SupervisionEvents, make(options))
