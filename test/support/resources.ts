/** What a leak adds to: fibers, listeners, descriptors and memory of this process. */
import { Effect, Metric } from "effect"
import { existsSync, readdirSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

/** Bytes of heap that are in use. */
export const heap = Effect.sync(() => {
  collect()
  collect()
  return process.memoryUsage().heapUsed
})

/** The same with what lies outside of the heap, as pieces of input do. */
export const held = Effect.sync(() => {
  collect()
  collect()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
})

/** Only where the system has it. */
const descriptors = "/proc/self/fd"

/** Timers come and go with whatever is at work. */
const isHandle = (resource: string) => resource !== "Timeout" && resource !== "Immediate"

/** All but memory. Fibers are counted for effects within `counted`. */
export const counts = Effect.map(Metric.snapshot, (all) => {
  const fibers = all.find(({ id }) => id === "child_fibers_active")
  return {
    fibers: fibers?.type === "Gauge" ? Number(fibers.state.value) : 0,
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
    descriptors: existsSync(descriptors) ? readdirSync(descriptors).length : 0,
    handles: process.getActiveResourcesInfo().filter(isHandle).length
  }
})

/** Counts the fibers of an effect, and of the layers that it is provided with. */
export const counted = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(
    Effect.provideService(Metric.FiberRuntimeMetrics, Metric.FiberRuntimeMetricsImpl),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )

const ROUNDS = 4

/**
 * How many bytes of heap `cycles` cycles leave behind. What is kept on purpose, but within bounds, is a saw over time,
 * so its low points are compared: those of as many cycles before, which also make what is made only once.
 */
export const growth = <E, R>(cycles: number, run: (cycles: number) => Effect.Effect<unknown, E, R>) =>
  Effect.gen(function* () {
    const lowest = Effect.gen(function* () {
      let low = Number.POSITIVE_INFINITY
      for (let round = 0; round < ROUNDS; round++) {
        yield* run(cycles / ROUNDS)
        low = Math.min(low, yield* heap)
      }
      return low
    })
    const before = yield* lowest
    return (yield* lowest) - before
  })
