/** How busy this process is: its share of the machine's processors, and how late its event loop runs. */
import { availableParallelism } from "node:os"
import { Clock, Effect, type Scope } from "effect"
import { EventLoop } from "../../services/health/EventLoop.ts"

export interface Load {
  /** 0 to 1, worker threads included. */
  readonly cpu: number
  /** Milliseconds, for 99 of 100 looks. */
  readonly eventLoopDelay: number
}

/** Gives the load since it was last asked. */
export type ProcessLoad = Effect.Effect<Effect.Effect<Load>, never, Scope.Scope>

export const make: ProcessLoad = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const lateness = yield* (yield* EventLoop).watch
  const processors = availableParallelism()
  let usage = process.cpuUsage()
  let at = clock.monotonicTimeNanosUnsafe()
  return Effect.map(lateness, ({ p99 }) => {
    const now = clock.monotonicTimeNanosUnsafe()
    const { system, user } = process.cpuUsage(usage)
    const passed = Number(now - at) / 1_000
    usage = process.cpuUsage()
    at = now
    return { cpu: passed > 0 ? Math.min(1, (user + system) / passed / processors) : 0, eventLoopDelay: p99 }
  })
})
