/**
 * The monitor as the child `monitor` of `Coordinators`: once a second it measures how late the event loop runs, how much
 * memory is in use and how much work there is, and tells of it on `system:health`.
 */
import { type Duration, Effect, Layer } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import { EventLoop } from "../../services/health/EventLoop.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { Coordinators } from "../../services/supervision/Places.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"

export interface Options {
  /** Default 1 second. */
  readonly interval?: Duration.Input | undefined
}

const childId = "monitor"

const make = Effect.fnUntraced(function* ({ interval = "1 second" }: Options) {
  const bus = yield* EventBus
  const coordinators = yield* Coordinators
  const pool = yield* WorkerPool
  const registry = yield* Registry
  const eventLoop = yield* EventLoop

  const start = Effect.gen(function* () {
    const lateness = yield* eventLoop.watch

    const sample = Effect.gen(function* () {
      yield* Effect.sleep(interval)
      const eventLoopDelay = yield* lateness
      const { queued, running } = yield* pool.load
      const agents = yield* registry.count
      const { heapUsed, rss } = process.memoryUsage()
      yield* bus.publishSystem(Topic.health, [
        { _tag: "HealthSampled", eventLoopDelay, rss, heapUsed, running, queued, agents }
      ])
    })
    return Effect.forever(sample)
  })

  yield* Effect.acquireRelease(Effect.orDie(coordinators.startChild({ id: childId, start })), () =>
    Effect.ignore(Effect.andThen(coordinators.terminateChild(childId), coordinators.deleteChild(childId)))
  )
})

export const layer = (options: Options = {}) => Layer.effectDiscard(make(options))
