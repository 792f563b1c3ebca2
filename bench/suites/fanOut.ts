/** The event bus: deliveries to many readers, and what one that stalls costs the others. */
import { Effect, Fiber, FileSystem, Layer, Stream } from "effect"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { SessionId, TurnId } from "../../services/session/SessionId.ts"
import { against, type Beam } from "../beam.ts"
import type { Figure } from "../Figure.ts"
import { perOperation } from "../measure.ts"
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

/**
 * Publishes `batches` and waits until every reader has all of them; a stalled one reads nothing at all. Deliveries per
 * second, from when everyone listens.
 */
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
      globalThis.gc?.()
      const start = process.hrtime.bigint()
      for (let index = 0; index < batches; index++) {
        yield* bus.publish(batch(index * BATCH + 1))
        if (index % 16 === 0) yield* Effect.yieldNow
      }
      for (const fiber of fibers) yield* Fiber.join(fiber)
      return (readers * wanted * 1e9) / Number(process.hrtime.bigint() - start)
    })
  )

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

/** The median of some rounds; the first warms up and does not count. */
const rateOf = (readers: number, batches: number) =>
  Effect.map(Effect.replicateEffect(deliver(readers, batches, 0), 6), ([, ...rates]) => median(rates))

/**
 * What one that stalls costs the others: pairs of rounds that follow each other, now one first and now the other, so
 * that whatever else the machine does falls on both alike. The figure is the median of the pairs' ratios.
 */
const besideStalled = Effect.gen(function* () {
  const alone: Array<number> = []
  const ratios: Array<number> = []
  for (let pair = 0; pair < 16; pair++) {
    const rates = { alone: 0, beside: 0 }
    const order = pair % 2 === 0 ? (["alone", "beside"] as const) : (["beside", "alone"] as const)
    for (const which of order) rates[which] = yield* deliver(99, 500, which === "alone" ? 0 : 1)
    // The first pair warms up.
    if (pair === 0) continue
    alone.push(rates.alone)
    ratios.push(rates.beside / rates.alone)
  }
  return { alone: median(alone), ratio: median(ratios) }
})

const BEHIND = 100_000

/** Milliseconds until a reader that is so many events behind has them all, beside bare pages of the journal. */
const resume = Effect.gen(function* () {
  const journal = yield* Journal
  const bus = yield* EventBus
  const stream = Topic.ofSession(SessionId.make("ses_behind"))
  const event = { _tag: "TurnEnded", turnId, outcome: "completed" } as const
  const more = Array.from({ length: 999 }, () => event)
  for (let after = 0; after < BEHIND; after += 1_000) {
    yield* journal.append([{ stream, after, events: [event, ...more], open: false, summary: "" }])
  }
  const bare = Effect.gen(function* () {
    for (let after = 0; after < BEHIND;) after += (yield* journal.read({ stream, after, limit: 256 })).length
  })
  const read = bus.subscribe({ topic: stream, from: 1 }).pipe(
    Stream.chunks,
    Stream.takeUntil((chunk) => chunk.some((delivery) => "sequence" in delivery && delivery.sequence === BEHIND)),
    Stream.runDrain
  )
  return { bare: yield* perOperation(1_000, bare, 3), read: yield* perOperation(1_000, read, 3) }
}).pipe(
  Effect.provide(
    Layer.unwrap(
      Effect.map(
        FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped()),
        (directory) =>
          PubSubEventBus.layer().pipe(
            Layer.provideMerge(SqlJournal.layer),
            Layer.provide(DataDirectory.layer(directory)),
            Layer.provide(RuntimeTree.layer.pipe(Layer.provide(FiberSupervisor.layer)))
          )
      )
    ),
    // A tree of its own beside that of the other figures.
    { local: true }
  )
)

export const suite = (beam: Beam) =>
  Effect.gen(function* () {
    const one = yield* rateOf(1, 5_000)
    const hundred = yield* rateOf(100, 1_000)
    const thousand = yield* rateOf(1_000, 100)
    const stalled = yield* besideStalled
    const plain = yield* pubSubOneByOne(100, 1_000)
    const { bare, read } = yield* resume
    const figures: ReadonlyArray<Figure> = [
      { name: "fan-out to 1 subscriber", unit: "/s", value: one, ...against(beam, "fanout_1") },
      { name: "fan-out to 100 subscribers", unit: "/s", value: hundred, ...against(beam, "fanout_100"), bar: ">= 1" },
      {
        name: "fan-out to 1,000 subscribers, beside 100",
        unit: "/s",
        value: thousand,
        baseline: { name: "to 100", value: hundred }
      },
      {
        name: "fan-out to 100, beside bare PubSub one by one",
        unit: "/s",
        value: hundred,
        baseline: { name: "Effect PubSub", value: plain }
      },
      {
        name: "99 subscribers beside one that stalls",
        unit: "/s",
        value: stalled.alone * stalled.ratio,
        baseline: { name: "99 alone", value: stalled.alone },
        bar: "> 0.9"
      },
      {
        name: "a reader 100,000 events behind has them all",
        unit: "ms",
        value: read,
        baseline: { name: "bare pages of the journal", value: bare }
      }
    ]
    return figures
  }).pipe(Effect.provide(BusLayer))
