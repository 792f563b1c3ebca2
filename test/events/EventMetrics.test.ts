import { assert, describe, it } from "@effect/vitest"
import { Effect, Latch, Layer, Metric } from "effect"
import { TestClock } from "effect/testing"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import { Fiber } from "effect"
import { a, listen, settle, write } from "../contracts/EventBus.ts"
import { foundationLayer } from "../support/foundation.ts"
import { sessionTopic, workerTopic } from "../support/topics.ts"

const BusLayer = PubSubEventBus.layer().pipe(Layer.provideMerge([MemoryJournal.layer(), foundationLayer]))

/** The figures of the events, as an exporter sees them after the next look. */
const measured = Effect.gen(function* () {
  yield* TestClock.adjust("5 seconds")
  const all = yield* Metric.snapshot
  return Object.fromEntries(
    all.flatMap(({ attributes, id, state, type }) => {
      if (!id.startsWith("espalier_events_")) return []
      const value = type === "Counter" ? state.count : type === "Gauge" ? state.value : 0
      return [[`${id.replace("espalier_events_", "")} ${attributes?.["topic"]}`, Number(value)]]
    })
  )
})

describe("event metrics", () => {
  it.effect("subscribers, depth and lag as they are now, delivered and lost since the start, by kind of topic", () =>
    Effect.gen(function* () {
      const gate = yield* Latch.make()
      const slow = yield* listen({ topic: a, policy: "sliding", capacity: 2 }, () => gate.await)
      yield* listen({ topic: sessionTopic("b") })
      const worker = yield* listen({ topic: workerTopic("w") })
      yield* listen({ topic: "session:*" })
      yield* write(1)
      yield* settle
      yield* write(6)
      yield* write(3, sessionTopic("b"))
      yield* write(2, workerTopic("w"))
      yield* settle
      const before = yield* measured
      assert.deepInclude(before, {
        "subscribers session": 2,
        "queue_depth session": 2,
        "lag_max session": 6,
        "delivered_total session": 1 + 3,
        "lost_total session": 4,
        "subscribers worker": 1,
        "delivered_total worker": 2,
        "lost_total worker": 0,
        "subscribers session:*": 1,
        "delivered_total session:*": 10
      })

      yield* gate.open
      yield* settle
      yield* Fiber.interrupt(slow.fiber)
      yield* Fiber.interrupt(worker.fiber)
      yield* write(1, sessionTopic("b"))
      yield* settle
      assert.deepInclude(yield* measured, {
        "subscribers session": 1,
        "queue_depth session": 0,
        "lag_max session": 0,
        // What was handed out and lost stays counted when a reader goes.
        "delivered_total session": 4 + 2 + 1,
        "lost_total session": 4,
        "subscribers worker": 0,
        "delivered_total worker": 2
      })
    }).pipe(Effect.scoped, Effect.provide(BusLayer), Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})
