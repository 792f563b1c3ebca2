/** Ways to take a figure. The best of a few rounds, since everything else on the machine only ever adds time. */
import { Effect } from "effect"

const now = Effect.sync(() => process.hrtime.bigint())

/** Microseconds per operation of `work`, which does `count` of them; the first round warms up and does not count. */
export const perOperation = <E, R>(count: number, work: Effect.Effect<unknown, E, R>, rounds = 5) =>
  Effect.gen(function* () {
    yield* work
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < rounds; round++) {
      const start = yield* now
      yield* work
      best = Math.min(best, Number((yield* now) - start) / 1000 / count)
    }
    return best
  })

/** Operations per second. */
export const rate = <E, R>(count: number, work: Effect.Effect<unknown, E, R>, rounds = 5) =>
  Effect.map(perOperation(count, work, rounds), (micros) => 1_000_000 / micros)

/** Bytes of heap after a collection. Needs `--expose-gc`. */
export const heap = Effect.sync(() => {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
})
