/**
 * The monitor as the child `monitor` of `Coordinators`: once a second it measures how late the event loop runs, how much
 * memory is in use and how much work there is, and tells of it on `system:health`.
 */
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Clock, Duration, Effect, Layer } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { Coordinators } from "../../services/supervision/Places.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"

export interface Options {
  /** Default 1 second. */
  readonly interval?: Duration.Input | undefined
}

const childId = "monitor"

/** Milliseconds between two looks at the event loop. */
const resolution = 10

/** A measured time between two looks, in nanoseconds, as milliseconds beyond the time that was meant to pass. */
const lateness = (nanoseconds: number): number =>
  Number.isFinite(nanoseconds) ? Math.max(0, Math.round(nanoseconds / 1_000 - resolution * 1_000) / 1_000) : 0

const make = Effect.fnUntraced(function* ({ interval = "1 second" }: Options) {
  const bus = yield* EventBus
  const coordinators = yield* Coordinators
  const pool = yield* WorkerPool
  const registry = yield* Registry
  const period = Duration.toMillis(interval)

  const start = Effect.gen(function* () {
    const delay = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const histogram = monitorEventLoopDelay({ resolution })
        histogram.enable()
        return histogram
      }),
      (histogram) => Effect.sync(() => histogram.disable())
    )
    const clock = yield* Clock.Clock
    const now = () => Number(clock.monotonicTimeNanosUnsafe())
    let resetAt = now()

    const sample = Effect.gen(function* () {
      // A reset blinds the histogram until it has looked again, so that while is measured by hand.
      yield* Effect.sleep(resolution)
      const whileBlind = lateness(now() - resetAt)
      yield* Effect.sleep(Math.max(0, period - resolution))
      resetAt = now()
      // After a block our timer may run before the histogram's own, and what it has not noted yet is lost in a reset:
      // two turns of the event loop let it note that first.
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      const eventLoopDelay = {
        p50: lateness(delay.percentile(50)),
        p99: lateness(delay.percentile(99)),
        max: Math.max(whileBlind, lateness(delay.max))
      }
      delay.reset()
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
