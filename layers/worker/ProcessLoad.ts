/** How busy this process is: its share of the machine's processors, and how late its event loop runs. */
import { monitorEventLoopDelay } from "node:perf_hooks"
import { availableParallelism } from "node:os"
import { Clock, Effect, type Scope } from "effect"

export interface Load {
  /** 0 to 1, worker threads included. */
  readonly cpu: number
  /** Milliseconds, for 99 of 100 looks. */
  readonly eventLoopDelay: number
}

/** Gives the load since it was last asked. */
export type ProcessLoad = Effect.Effect<Effect.Effect<Load>, never, Scope.Scope>

/** Milliseconds between two looks at the event loop. */
const resolution = 20

export const make: ProcessLoad = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const delay = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const histogram = monitorEventLoopDelay({ resolution })
      histogram.enable()
      return histogram
    }),
    (histogram) => Effect.sync(() => histogram.disable())
  )
  const processors = availableParallelism()
  let usage = process.cpuUsage()
  let at = clock.monotonicTimeNanosUnsafe()
  return Effect.sync(() => {
    const now = clock.monotonicTimeNanosUnsafe()
    const { system, user } = process.cpuUsage(usage)
    const passed = Number(now - at) / 1_000
    usage = process.cpuUsage()
    at = now
    const late = delay.percentile(99) / 1_000_000 - resolution
    delay.reset()
    return {
      cpu: passed > 0 ? Math.min(1, (user + system) / passed / processors) : 0,
      eventLoopDelay: Number.isFinite(late) ? Math.max(0, late) : 0
    }
  })
})
