/** soak-stalled-reader: one of a hundred readers stalls for good while events come as fast as they can, and memory stays flat. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import { Policy } from "../../services/events/Subscription.ts"
import { inTime } from "../support/eventually.ts"
import { foundationLayer } from "../support/foundation.ts"
import { sessionTopic } from "../support/topics.ts"

const BusLayer = PubSubEventBus.layer().pipe(Layer.provideMerge([MemoryJournal.layer(), foundationLayer]))
const topic = sessionTopic("soak")
const BATCH = 64
const BATCHES = 120
const ROUNDS = process.env["ESPALIER_LONG"] === undefined ? 10 : 200
/** Rounds until everything is compiled and every queue that fills has filled. */
const WARM = 4
/** Bytes that may be left over from a round: what a heap moves by itself, and far less than one event in a hundred. */
const SLOPE = 64 * 1024

const heap = () => {
  setFlagsFromString("--expose-gc")
  const gc: unknown = runInNewContext("gc")
  if (typeof gc === "function") for (let n = 0; n < 3; n++) gc()
  return process.memoryUsage().heapUsed
}

const batch = (first: number): ReadonlyArray<Recorded> =>
  Array.from({ length: BATCH }, (_, index) => ({
    topic,
    sequence: first + index,
    at: 0,
    event: { _tag: "SessionUpdated", title: `${first + index} ${"x".repeat(100)}` }
  }))

/** Least squares: by how much each value is more than the one before. */
const slopeOf = (values: ReadonlyArray<number>) => {
  const mean = (of: ReadonlyArray<number>) => of.reduce((sum, value) => sum + value, 0) / of.length
  const [x, y] = [mean(values.map((_, index) => index)), mean(values)]
  const over = values.reduce((sum, value, index) => sum + (index - x) * (value - y), 0)
  return over / values.reduce((sum, _, index) => sum + (index - x) ** 2, 0)
}

describe("soak-stalled-reader", () => {
  for (const policy of Policy.literals.filter((policy) => policy !== "backpressure")) {
    it.live(
      `${policy}: ${ROUNDS * BATCHES * BATCH} events to 99 readers beside one that stalls leave the heap as it was`,
      () =>
        Effect.gen(function* () {
          const bus = yield* EventBus
          const seen = Array.from({ length: 99 }, () => 0)
          for (const index of seen.keys()) {
            yield* bus.subscribe({ topic, policy: "sliding", capacity: 8_192 }).pipe(
              Stream.chunks,
              Stream.runForEach((chunk) =>
                Effect.sync(() => {
                  const last = chunk.at(-1)
                  if (last?._tag === "Event") seen[index] = last.sequence
                })
              ),
              Effect.forkScoped({ startImmediately: true })
            )
          }
          yield* Effect.forkScoped(
            Stream.runForEach(bus.subscribe({ topic, policy, capacity: 1_024 }), () => Effect.never),
            { startImmediately: true }
          )
          yield* Effect.sleep("20 millis")
          let sequence = 1
          const heaps: Array<number> = []
          for (let round = 0; round < ROUNDS; round++) {
            for (let index = 0; index < BATCHES; index++) {
              yield* bus.publish(batch(sequence))
              sequence += BATCH
              if (index % 16 === 0) yield* Effect.yieldNow
            }
            yield* inTime(
              "all have all",
              Effect.sync(() => seen.every((last) => last === sequence - 1))
            )
            heaps.push(heap())
          }
          const [stats] = yield* bus.stats({ topic, limit: 100 })
          assert.strictEqual(stats?.subscribers, 100)
          const stalled = stats?.list.find(({ capacity }) => capacity === 1_024)
          assert.isAtMost(stalled?.depth ?? Infinity, 1_024 + BATCH)
          assert.strictEqual(
            (stalled?.delivered ?? 0) + (stalled?.lost ?? 0) + (stalled?.pending ?? 0),
            stalled?.published
          )
          assert.isBelow(slopeOf(heaps.slice(WARM)), SLOPE, heaps.join())
        }).pipe(Effect.scoped, Effect.provide(BusLayer))
    )
  }
})
