/** The event bus: deliveries to many readers, and what one that stalls costs the others. */
import { Effect, Fiber, Layer, Stream } from "effect"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { SessionId, TurnId } from "../../services/session/SessionId.ts"
import { against, type Beam } from "../beam.ts"
import type { Figure } from "../Figure.ts"
import { rate } from "../measure.ts"
import { pubSubOneByOne } from "./baselines.ts"

const BusLayer = PubSubEventBus.layer().pipe(
  Layer.provideMerge(MemoryJournal.layer()),
  Layer.provideMerge(RuntimeTree.layer),
  Layer.provideMerge(FiberSupervisor.layer)
)

const sessionId = SessionId.make("ses_bench")
const topic = Topic.ofSession(sessionId)
const turnId = TurnId.make("turn_bench")
const BATCH = 64

const batch = (first: number): ReadonlyArray<Recorded> =>
  Array.from({ length: BATCH }, (_, index) => ({
    topic,
    sequence: first + index,
    at: 0,
    event: { _tag: "TurnEnded", turnId, outcome: "completed" } as const
  }))

/** Publishes `batches` and waits until every reader has all of them; a stalled one reads nothing at all. */
const deliver = (readers: number, batches: number, stalled: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const bus = yield* EventBus
      const wanted = batches * BATCH
      const subscription = { topic, policy: "sliding", capacity: 8_192 } as const
      const fibers = yield* Effect.forEach(Array.from({ length: readers }), () =>
        Effect.forkScoped(
          bus.subscribe(subscription).pipe(
            Stream.chunks,
            Stream.takeUntil((chunk) =>
              chunk.some((delivery) => "sequence" in delivery && delivery.sequence === wanted)
            ),
            Stream.runDrain
          ),
          { startImmediately: true }
        )
      )
      yield* Effect.forEach(Array.from({ length: stalled }), () =>
        Effect.forkScoped(
          Stream.runForEach(bus.subscribe(subscription), () => Effect.never),
          { startImmediately: true }
        )
      )
      yield* Effect.sleep("20 millis")
      for (let index = 0; index < batches; index++) {
        yield* bus.publish(batch(index * BATCH + 1))
        if (index % 16 === 0) yield* Effect.yieldNow
      }
      for (const fiber of fibers) yield* Fiber.join(fiber)
    })
  )

/** The 20 ms that subscribing is given are part of both figures, and small beside either. */
export const suite = (beam: Beam) =>
  Effect.gen(function* () {
    const hundred = yield* rate(100 * 1_000 * BATCH, deliver(100, 1_000, 0), 3)
    const ninetyNine = yield* rate(99 * 1_000 * BATCH, deliver(99, 1_000, 0), 3)
    const withStalled = yield* rate(99 * 1_000 * BATCH, deliver(99, 1_000, 1), 3)
    const one = yield* rate(1 * 5_000 * BATCH, deliver(1, 5_000, 0), 3)
    const plain = yield* pubSubOneByOne(100, 1_000)
    const figures: ReadonlyArray<Figure> = [
      { name: "fan-out to 100 subscribers", unit: "/s", value: hundred, ...against(beam, "fanout_100"), bar: ">= 1" },
      {
        name: "fan-out to 100, beside bare PubSub one by one",
        unit: "/s",
        value: hundred,
        baseline: { name: "Effect PubSub", value: plain }
      },
      { name: "fan-out to 1 subscriber", unit: "/s", value: one, ...against(beam, "fanout_1") },
      {
        name: "99 subscribers beside one that stalls",
        unit: "/s",
        value: withStalled,
        baseline: { name: "99 alone", value: ninetyNine },
        bar: "> 0.9"
      }
    ]
    return figures
  }).pipe(Effect.provide(BusLayer))
