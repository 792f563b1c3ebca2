/**
 * `EventLoop` by Node's histogram, which looks every so often without a line of JavaScript.
 *
 * Two things it does not see by itself. After a reset it is blind until it has looked again, so that while is measured
 * by hand. And after a block whoever asks may run before it has noted that, which a reset would lose: two turns of the
 * event loop let it note that first.
 */
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Clock, Effect, Layer } from "effect"
import { EventLoop, type Lateness } from "../../services/health/EventLoop.ts"

/** Milliseconds between two looks. */
const resolution = 10

/** A measured time between two looks, in nanoseconds, as milliseconds beyond the time that was meant to pass. */
const lateness = (nanoseconds: number): number =>
  Number.isFinite(nanoseconds) ? Math.max(0, Math.round(nanoseconds / 1_000 - resolution * 1_000) / 1_000) : 0

const watch = Effect.gen(function* () {
  const { monotonicTimeNanosUnsafe: now } = yield* Clock.Clock
  const scope = yield* Effect.scope
  const histogram = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const histogram = monitorEventLoopDelay({ resolution })
      histogram.enable()
      return histogram
    }),
    (histogram) => Effect.sync(() => histogram.disable())
  )
  let whileBlind = 0
  const lookByHand = Effect.suspend(() => {
    const from = now()
    return Effect.map(Effect.sleep(resolution), () => {
      whileBlind = Math.max(whileBlind, lateness(Number(now() - from)))
    })
  })
  yield* Effect.forkIn(lookByHand, scope)

  return Effect.gen(function* () {
    yield* Effect.yieldNow
    yield* Effect.yieldNow
    const p99 = lateness(histogram.percentile(99))
    const told: Lateness = {
      p50: lateness(histogram.percentile(50)),
      // One of less than a hundred is among the worst of a hundred.
      p99: histogram.count < 100 ? Math.max(p99, whileBlind) : p99,
      max: Math.max(lateness(histogram.max), whileBlind)
    }
    histogram.reset()
    whileBlind = 0
    yield* Effect.forkIn(lookByHand, scope)
    return told
  })
})

export const layer = Layer.succeed(EventLoop, { watch })
