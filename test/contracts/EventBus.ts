/** What every `EventBus` promises, joined to a journal. Each test has a bus and a journal of its own. */
import { assert, it } from "@effect/vitest"
import { Array as Arr, Effect, Fiber, Latch, type Layer, Schema, type Scope, Stream } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import type { Delivery, RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import { Policy, type SubscribeError, type Subscription } from "../../services/events/Subscription.ts"
import * as Topic from "../../services/events/Topic.ts"
import { type Append, Journal } from "../../services/journal/Journal.ts"
import { TurnId } from "../../services/session/SessionId.ts"
import { sessionTopic } from "../support/topics.ts"

export const a = sessionTopic("a")
const b = sessionTopic("b")

const fact = (n: number) => ({ _tag: "SessionUpdated" as const, title: `${n}` })
const delta = (text: string): RuntimeEvent => ({ _tag: "TextDelta", turnId: TurnId.make("turn_1"), text, from: 0 })
const started = (path: string): RuntimeEvent => ({ _tag: "ChildStarted", path, reason: "call" })

/** Appends the next `count` events of a stream, as its writer does; publish what comes back. */
export const record = Effect.fnUntraced(function* (count: number, stream: Topic.Topic = a) {
  const journal = yield* Journal
  const after = (yield* journal.head(stream))?.sequence ?? 0
  const events: Append["events"] = [
    fact(after + 1),
    ...Array.from({ length: count - 1 }, (_, index) => fact(after + 2 + index))
  ]
  return yield* journal.append([{ stream, after, events, open: true, summary: "{}" }])
})

export const write = Effect.fnUntraced(function* (count: number, stream: Topic.Topic = a) {
  const bus = yield* EventBus
  yield* bus.publish(yield* record(count, stream))
})

/** A subscriber in the background, and what it has got so far. */
export const listen = Effect.fnUntraced(function* (
  subscription: Subscription,
  pace: (delivery: Delivery) => Effect.Effect<void> = () => Effect.void
) {
  const bus = yield* EventBus
  const got: Array<Delivery> = []
  const fiber = yield* bus.subscribe(subscription).pipe(
    Stream.runForEach((delivery) => {
      got.push(delivery)
      return pace(delivery)
    }),
    Effect.forkScoped({ startImmediately: true })
  )
  return { got, fiber }
})

/** Lets every other fiber run until it waits. */
export const settle = Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, { discard: true })

export const show = (deliveries: ReadonlyArray<Delivery>) =>
  deliveries.map((delivery) => {
    if (delivery._tag === "Event") return `${delivery.sequence}`
    if (delivery._tag === "Snapshot") return `snapshot ${delivery.sequence} (${delivery.earliest})`
    if (delivery._tag === "Lagged") return `lagged ${delivery.from}-${delivery.to} (${delivery.count})`
    return `~${delivery.event._tag === "TextDelta" ? delivery.event.text : "?"}@${delivery.after}`
  })

export const range = (from: number, to: number) => Arr.range(from, to).map(String)

export const eventBusContract = <E>(bus: Layer.Layer<EventBus | Journal, E>) => {
  const test = <A, F>(name: string, body: Effect.Effect<A, F, EventBus | Journal | Scope.Scope>) =>
    it.effect(name, () => Effect.scoped(body).pipe(Effect.provide(bus)))

  test(
    "replays from where it is asked and goes on live",
    Effect.gen(function* () {
      yield* write(700)
      const all = yield* listen({ topic: a, from: 1 })
      const some = yield* listen({ topic: a, from: 699 })
      const next = yield* listen({ topic: a, from: 701 })
      const now = yield* listen({ topic: a })
      yield* settle
      yield* write(2)
      yield* write(1, b)
      yield* settle
      assert.deepStrictEqual(show(all.got), range(1, 702))
      assert.deepStrictEqual(show(some.got), range(699, 702))
      assert.deepStrictEqual(show(next.got), ["701", "702"])
      assert.deepStrictEqual(show(now.got), ["701", "702"])
      const [first] = all.got
      assert.deepStrictEqual(first, { _tag: "Event", topic: a, sequence: 1, at: 0, event: fact(1) })
    })
  )

  test(
    "a subscriber that comes between journal and bus neither misses nor repeats",
    Effect.gen(function* () {
      const bus = yield* EventBus
      const recorded = yield* record(2)
      const replaying = yield* listen({ topic: a, from: 1 })
      const resuming = yield* listen({ topic: a, from: 2 })
      yield* settle
      yield* bus.publish(recorded)
      yield* write(1)
      yield* settle
      assert.deepStrictEqual(show(replaying.got), ["1", "2", "3"])
      assert.deepStrictEqual(show(resuming.got), ["2", "3"])
    })
  )

  test(
    "events that a writer journaled but never published come with the next one",
    Effect.gen(function* () {
      const listener = yield* listen({ topic: a, from: 1 })
      yield* write(1)
      yield* record(2)
      yield* settle
      assert.deepStrictEqual(show(listener.got), ["1"])
      yield* write(1)
      yield* settle
      assert.deepStrictEqual(show(listener.got), ["1", "2", "3", "4"])
    })
  )

  test(
    "a cursor beyond the newest event is refused, with the newest",
    Effect.gen(function* () {
      const bus = yield* EventBus
      yield* write(3)
      const refusal = yield* Effect.flip(Stream.runDrain(bus.subscribe({ topic: a, from: 5 })))
      assert.strictEqual(refusal._tag, "CursorAhead")
      assert.deepInclude(refusal, { topic: a, from: 5, latest: 3 })
      const system = yield* Effect.flip(Stream.runDrain(bus.subscribe({ topic: Topic.health, from: 2 })))
      assert.deepInclude(system, { _tag: "CursorAhead", latest: 0 })
    })
  )

  test(
    "passing events reach who listens, in their place, and are never replayed",
    Effect.gen(function* () {
      const bus = yield* EventBus
      yield* write(2)
      yield* bus.publishEphemeral(a, delta("nobody listens"))
      const live = yield* listen({ topic: a })
      const replaying = yield* listen({ topic: a, from: 1 })
      yield* settle
      yield* bus.publishEphemeral(a, delta("x"))
      yield* write(1)
      yield* bus.publishEphemeral(a, delta("y"))
      yield* settle
      assert.deepStrictEqual(show(live.got), ["~x@2", "3", "~y@3"])
      assert.deepStrictEqual(show(replaying.got), ["1", "2", "~x@2", "3", "~y@3"])
      const late = yield* listen({ topic: a, from: 1 })
      yield* settle
      assert.deepStrictEqual(show(late.got), ["1", "2", "3"])
    })
  )

  test(
    "a stalled reader delays nobody, and catches up from the journal",
    Effect.gen(function* () {
      const bus = yield* EventBus
      const gate = yield* Latch.make()
      const stalled = yield* listen({ topic: a, from: 1, capacity: 4 }, () => gate.await)
      const quick = yield* listen({ topic: a, from: 1, capacity: 4 })
      for (let n = 0; n < 300; n++) {
        yield* write(3)
        yield* bus.publishEphemeral(a, delta("."))
      }
      yield* settle
      assert.strictEqual(quick.got.findLast((delivery) => delivery._tag === "Event")?.sequence, 900)
      assert.isBelow(stalled.got.length, 5)
      yield* gate.open
      yield* settle
      const events = (got: ReadonlyArray<Delivery>) => got.filter((delivery) => delivery._tag === "Event")
      assert.deepStrictEqual(show(events(stalled.got)), range(1, 900))
      assert.deepStrictEqual(show(events(quick.got)), range(1, 900))
      assert.isFalse(stalled.got.some((delivery) => delivery._tag === "Lagged"))
    })
  )

  test(
    "a burst larger than the queue loses nothing of a durable topic",
    Effect.gen(function* () {
      const listener = yield* listen({ topic: a, capacity: 2 })
      yield* write(1_000)
      yield* write(1)
      yield* settle
      assert.deepStrictEqual(show(listener.got), range(1, 1_001))
    })
  )

  test(
    "sliding keeps the newest and tells once what went",
    Effect.gen(function* () {
      const gate = yield* Latch.make()
      const listener = yield* listen({ topic: a, policy: "sliding", capacity: 3 }, () => gate.await)
      yield* write(1)
      yield* settle
      for (let n = 0; n < 10; n++) {
        yield* write(2)
        yield* settle
      }
      yield* gate.open
      yield* settle
      yield* write(1)
      yield* settle
      assert.deepStrictEqual(show(listener.got), ["1", "lagged 2-18 (17)", "19", "20", "21", "22"])
    })
  )

  test(
    "a system topic is numbered by the bus and replayed as far as its window goes; before that it says where to begin",
    Effect.gen(function* () {
      const bus = yield* EventBus
      const live = yield* listen({ topic: Topic.agents })
      for (let n = 1; n <= 1_200; n++) yield* bus.publishSystem(Topic.agents, [started(`p${n}`)])
      yield* bus.publishSystem(Topic.maintenance, [started("elsewhere")])
      yield* settle
      const refusal = yield* Effect.flip(Stream.runDrain(bus.subscribe({ topic: Topic.agents, from: 200 })))
      assert.deepInclude(refusal, { _tag: "CursorExpired", topic: Topic.agents, from: 200, earliest: 201 })
      const told = yield* listen({ topic: Topic.agents, from: 200, expired: "snapshot", policy: "dropping" })
      const old = yield* listen({ topic: Topic.agents, from: 201 })
      const recent = yield* listen({ topic: Topic.agents, from: 1_150 })
      yield* settle
      yield* bus.publishSystem(Topic.agents, [started("p1201"), started("p1202")])
      yield* settle
      assert.deepStrictEqual(show(live.got), range(1, 1_202))
      assert.deepStrictEqual(show(told.got), ["lagged 200-200 (1)", ...range(201, 1_202)])
      assert.deepStrictEqual(show(old.got), range(201, 1_202))
      assert.deepStrictEqual(show(recent.got), range(1_150, 1_202))
      assert.deepInclude(recent.got[0], { topic: Topic.agents, event: started("p1150") })
    })
  )

  test(
    "a slow reader of a system topic is told what its window has lost",
    Effect.gen(function* () {
      const bus = yield* EventBus
      const gate = yield* Latch.make()
      const slow = yield* listen({ topic: Topic.agents, capacity: 10 }, () => gate.await)
      yield* bus.publishSystem(Topic.agents, [started("p")])
      yield* settle
      for (let n = 2; n <= 2_001; n++) yield* bus.publishSystem(Topic.agents, [started("p")])
      yield* settle
      yield* gate.open
      yield* settle
      assert.deepStrictEqual(show(slow.got), ["1", "lagged 2-1001 (1000)", ...range(1_002, 2_001)])
    })
  )

  test(
    "a subscription ends with its scope, and others stay",
    Effect.gen(function* () {
      const gone = yield* listen({ topic: a })
      const stays = yield* listen({ topic: a })
      yield* write(1)
      yield* settle
      yield* Fiber.interrupt(gone.fiber)
      yield* write(1)
      yield* settle
      assert.deepStrictEqual(show(gone.got), ["1"])
      assert.deepStrictEqual(show(stays.got), ["1", "2"])
    })
  )

  const reader = Schema.Struct({
    wait: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })),
    from: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 })),
    policy: Policy,
    capacity: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6 })),
    /** Yields before each delivery, and deliveries before it disconnects and resumes. */
    pace: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })),
    patience: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 }))
  })
  const step = Schema.Struct({
    count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })),
    /** Yields between journal and bus, and after. */
    before: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
    after: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
    isPublished: Schema.Boolean
  })

  it.effect.prop(
    "wherever readers join, stall and resume while a writer writes: no gap, no repeat, no reorder",
    [
      Schema.Array(reader).check(Schema.isMinLength(1), Schema.isMaxLength(4)),
      Schema.Array(step).check(Schema.isMinLength(1), Schema.isMaxLength(30))
    ],
    ([readers, steps]) =>
      Effect.gen(function* () {
        const bus = yield* EventBus
        const yields = (times: number) => Effect.forEach(Array.from({ length: times }), () => Effect.yieldNow)
        const total = steps.reduce((sum, { count }) => sum + count, 0) + 1

        const read = Effect.fnUntraced(function* ({
          capacity,
          from,
          pace,
          patience,
          policy,
          wait
        }: typeof reader.Type) {
          yield* yields(wait)
          const known = (yield* (yield* Journal).head(a))?.sequence ?? 0
          const first = from === 0 ? undefined : Math.min(from, known + 1)
          const got: Array<Delivery> = []
          const resume = (next: number | undefined): Effect.Effect<void, SubscribeError> => {
            let reached = next
            const isDone = () => reached !== undefined && reached > total
            return bus.subscribe({ topic: a, from: next, policy, capacity }).pipe(
              Stream.tap((delivery) => {
                got.push(delivery)
                if (delivery._tag !== "Ephemeral") reached = 1 + ("to" in delivery ? delivery.to : delivery.sequence)
                return yields(pace)
              }),
              Stream.takeUntil(isDone),
              Stream.take(patience),
              Stream.runDrain,
              // A reader that is cut off resumes after the last sequence that the error names, which is its own.
              Effect.catchTag("SubscriptionCut", ({ after }) =>
                Effect.sync(() => {
                  if (reached !== undefined) assert.strictEqual(after + 1, reached)
                  else if (after > 0) reached = after + 1
                })
              ),
              Effect.andThen(Effect.suspend(() => (isDone() ? Effect.void : resume(reached))))
            )
          }
          yield* resume(first)
          return { got, first, policy }
        })

        const fibers = yield* Effect.forEach(readers, (one) => Effect.forkChild(read(one), { startImmediately: true }))
        for (const { after, before, count, isPublished } of steps) {
          const recorded = yield* record(count)
          yield* yields(before)
          if (isPublished) yield* bus.publish(recorded)
          yield* yields(after)
        }
        // The last one is published once everyone listens, so that each reader comes to an end.
        yield* yields(40)
        yield* write(1)

        for (const { first, got, policy } of yield* Fiber.joinAll(fibers)) {
          const spans = got.flatMap((delivery) =>
            delivery._tag === "Event"
              ? [{ from: delivery.sequence, to: delivery.sequence, count: 1 }]
              : delivery._tag === "Lagged"
                ? [delivery]
                : []
          )
          assert.strictEqual(spans.length, got.length)
          if (first !== undefined) assert.strictEqual(spans[0]?.from, first)
          assert.strictEqual(spans.at(-1)?.to, total)
          for (const [index, span] of spans.entries()) {
            if (index > 0) assert.strictEqual(span.from, (spans[index - 1]?.to ?? 0) + 1)
            assert.strictEqual(span.count, span.to - span.from + 1)
          }
          if (policy !== "sliding" && policy !== "dropping")
            assert.isTrue(got.every((delivery) => delivery._tag === "Event"))
        }
      }).pipe(Effect.scoped, Effect.provide(bus, { local: true })),
    { arbitrary: { runs: 300 } }
  )
}
