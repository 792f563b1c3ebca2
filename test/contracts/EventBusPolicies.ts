/** What every `EventBus` promises about full queues, about who listens, and about wildcards. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Latch, type Layer, Schema, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { EventBus } from "../../services/events/EventBus.ts"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import { Policy, SubscriptionCut } from "../../services/events/Subscription.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { SubscriberStats } from "../../services/events/TopicStats.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import * as SessionSnapshot from "../../services/session/SessionSnapshot.ts"
import { fold } from "../../services/session/SessionState.ts"
import { sessionTopic, workerTopic } from "../support/topics.ts"
import { a, listen, range, record, settle, show, write } from "./EventBus.ts"

const b = sessionTopic("b")

/** A subscriber that stops after its first event until `gate` is open, and has stopped. */
const stalled = Effect.fnUntraced(function* (policy: Policy, capacity: number) {
  const gate = yield* Latch.make()
  const listener = yield* listen({ topic: a, policy, capacity, label: policy }, () => gate.await)
  yield* write(1)
  yield* settle
  return { ...listener, gate }
})

const statsOf = (topic?: Topic.Subject) =>
  Effect.flatMap(EventBus, (bus) => bus.stats({ topic, limit: 100 })).pipe(
    Effect.map((topics) => topics.flatMap(({ list }) => list))
  )

const onlyOne = Effect.map(statsOf(), (all) => {
  assert.strictEqual(all.length, 1)
  return all[0] as SubscriberStats
})

export const eventBusPolicies = <E>(bus: Layer.Layer<EventBus | Journal, E>) => {
  const test = <A, F>(name: string, body: Effect.Effect<A, F, EventBus | Journal | Scope.Scope>) =>
    it.effect(name, () => Effect.scoped(body).pipe(Effect.provide(bus)))

  test(
    "dropping keeps the oldest and tells once what did not fit",
    Effect.gen(function* () {
      const { gate, got } = yield* stalled("dropping", 3)
      for (let n = 0; n < 5; n++) {
        yield* write(2)
        yield* settle
      }
      yield* gate.open
      yield* settle
      yield* write(1)
      yield* settle
      assert.deepStrictEqual(show(got), ["1", "2", "3", "4", "lagged 5-11 (7)", "12"])
    })
  )

  test(
    "disconnect hands out what waited and ends with the last sequence, from which one can go on",
    Effect.gen(function* () {
      const { fiber, gate, got } = yield* stalled("disconnect", 3)
      yield* write(2)
      yield* settle
      yield* write(5)
      yield* settle
      yield* gate.open
      const exit = yield* Fiber.await(fiber)
      assert.deepStrictEqual(exit, Exit.fail(new SubscriptionCut({ topic: a, after: 4, reason: "queue_full" })))
      assert.deepStrictEqual(show(got), range(1, 4))
      const again = yield* listen({ topic: a, from: 5, policy: "disconnect", capacity: 3 })
      yield* settle
      assert.deepStrictEqual(show(again.got), range(5, 8))
      assert.strictEqual((yield* statsOf()).length, 1)
    })
  )

  test(
    "backpressure makes the publisher wait, and nobody else; nothing is lost",
    Effect.gen(function* () {
      const { gate, got } = yield* stalled("backpressure", 2)
      const quick = yield* listen({ topic: a, from: 1 })
      const writer = yield* Effect.forkChild(Effect.forEach(range(1, 400), () => write(1), { discard: true }))
      yield* settle
      assert.strictEqual(writer.pollUnsafe(), undefined)
      yield* write(3, b)
      const reached = quick.got.length
      assert.isBelow(reached, 100)
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(quick.got.length, reached)
      yield* gate.open
      yield* Fiber.join(writer)
      for (let n = 0; n < 5; n++) yield* settle
      assert.deepStrictEqual(show(got), range(1, 401))
      assert.deepStrictEqual(show(quick.got), range(1, 401))
    })
  )

  test(
    "a reader that keeps the publisher waiting for five seconds is cut off, and told where it was",
    Effect.gen(function* () {
      const { fiber, gate, got } = yield* stalled("backpressure", 2)
      const quick = yield* listen({ topic: a, from: 1 })
      const writer = yield* Effect.forkChild(Effect.forEach(range(1, 400), () => write(1), { discard: true }))
      yield* settle
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(writer)
      yield* settle
      assert.deepStrictEqual(show(quick.got), range(1, 401))
      yield* gate.open
      const exit = yield* Fiber.await(fiber)
      assert.deepStrictEqual(
        exit,
        Exit.fail(new SubscriptionCut({ topic: a, after: got.length, reason: "publisher_waited" }))
      )
      assert.deepStrictEqual(show(got), range(1, got.length))
    })
  )

  test(
    "whatever the policy, history is read at the reader's own pace and holds nobody up",
    Effect.gen(function* () {
      yield* write(600)
      for (const policy of ["backpressure", "sliding", "dropping", "disconnect"] as const) {
        const gate = yield* Latch.make()
        const first = (yield* record(1))[0]?.sequence ?? 0
        const { fiber, got } = yield* listen({ topic: a, from: 1, policy, capacity: 2 }, () => gate.await)
        yield* settle
        for (let n = 0; n < 200; n++) yield* write(1)
        yield* settle
        yield* gate.open
        for (let n = 0; n < 5; n++) yield* settle
        assert.deepStrictEqual(show(got), range(1, first + 200), policy)
        yield* Fiber.interrupt(fiber)
      }
    })
  )

  test(
    "what cannot be had is refused with what to do",
    Effect.gen(function* () {
      const bus = yield* EventBus
      const refusal = (subscription: Parameters<typeof bus.open>[0]) =>
        Effect.map(Effect.flip(Effect.scoped(bus.open(subscription))), ({ message }) => message)
      assert.include(yield* refusal({ topic: "session:*", from: 1 }), "has no past")
      assert.include(yield* refusal({ topic: "worker:*", policy: "catchup" }), "sliding, dropping or disconnect")
      assert.include(yield* refusal({ topic: Topic.health, policy: "backpressure" }), "waits for nobody")
    })
  )

  test(
    "history that was let go of is refused with where it begins; what a reader still needs is not let go of",
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* write(5_000)
      const gate = yield* Latch.make()
      const { fiber, got } = yield* listen({ topic: a, from: 1, capacity: 2 }, () => gate.await)
      yield* settle
      const event = { _tag: "SessionUpdated" as const, title: "" }
      const snapshot = { version: 1, state: "{}", needs: 4_000 }
      yield* journal.append([{ stream: a, after: 5_000, events: [event], open: true, summary: "", snapshot }])
      assert.isAtMost(yield* journal.compact({ stream: a, before: 4_000 }), 257)
      yield* gate.open
      for (let n = 0; n < 10; n++) yield* settle
      assert.deepStrictEqual(show(got), range(1, 5_001))
      yield* Fiber.interrupt(fiber)

      const earliest = yield* journal.compact({ stream: a, before: 4_000 })
      assert.isAbove(earliest, 2)
      const bus = yield* EventBus
      const refusal = yield* Effect.flip(Effect.scoped(bus.open({ topic: a, from: 2 })))
      assert.deepInclude(refusal, { _tag: "CursorExpired", topic: a, from: 2, earliest })
      assert.include(refusal.message, `subscribe from ${earliest}`)
      const rest = yield* listen({ topic: a, from: earliest })
      for (let n = 0; n < 10; n++) yield* settle
      assert.deepStrictEqual(show(rest.got), range(earliest, 5_001))

      // A snapshot that this version cannot read stands for nothing: what is gone is told as skipped.
      const anyhow = yield* listen({ topic: a, from: 2, expired: "snapshot" })
      for (let n = 0; n < 10; n++) yield* settle
      const count = earliest - 2
      assert.deepStrictEqual(show(anyhow.got), [`lagged 2-${earliest - 1} (${count})`, ...range(earliest, 5_001)])
      const stats = (yield* statsOf()).at(-1)
      assert.deepInclude(stats, { published: 5_000, delivered: 5_000 - count, lost: count, pending: 0 })
    })
  )

  test(
    "a reader that comes too late begins with the session's state, if it asked for that, and is owed what came after",
    Effect.gen(function* () {
      const journal = yield* Journal
      const started: SessionEvent = { _tag: "SessionStarted", title: "a", agentType: "default", metadata: {} }
      yield* journal.append([{ stream: a, after: 0, events: [started], open: true, summary: "{}" }])
      const [first] = yield* journal.read({ stream: a, after: 0 })
      yield* write(3_999)
      const state = first && fold(undefined, first)
      if (state === undefined) return assert.fail("no state")
      const snapshot = { ...SessionSnapshot.take({ ...state, sequence: 4_000 }), needs: 3_500 }
      const event = { _tag: "SessionUpdated" as const, title: "b" }
      yield* journal.append([{ stream: a, after: 4_000, events: [event, event], open: true, summary: "", snapshot }])
      const earliest = yield* journal.compact({ stream: a, before: 4_000 })
      assert.isAbove(earliest, 2)
      const gate = yield* Latch.make()
      const { got } = yield* listen({ topic: a, from: 2, expired: "snapshot", capacity: 2 }, () => gate.await)
      yield* settle
      assert.deepStrictEqual(show(got), [`snapshot 4000 (${earliest})`])
      assert.deepInclude((yield* statsOf()).at(-1), { published: 2, delivered: 0, lost: 0, pending: 2, lag: 2 })
      yield* write(7)
      yield* gate.open
      yield* settle
      assert.deepStrictEqual(show(got), [`snapshot 4000 (${earliest})`, ...range(4_001, 4_009)])
      assert.deepInclude((yield* statsOf()).at(-1), { published: 9, delivered: 9, lost: 0, pending: 0, lag: 0 })
    })
  )

  test(
    "a wildcard sees every topic of its kind from now on, each in order, within bounds",
    Effect.gen(function* () {
      yield* write(2)
      const all = yield* listen({ topic: "session:*" })
      const workers = yield* listen({ topic: "worker:*" })
      const gate = yield* Latch.make()
      const slow = yield* listen({ topic: "session:*", capacity: 4 }, () => gate.await)
      yield* settle
      for (let n = 0; n < 10; n++) {
        yield* write(1)
        yield* write(2, b)
        yield* write(1, workerTopic("w"))
        yield* settle
      }
      const seen = (topic: Topic.Topic, got: ReadonlyArray<Delivery>) =>
        show(got.filter((delivery) => delivery.topic === topic))
      assert.deepStrictEqual(seen(a, all.got), range(3, 12))
      assert.deepStrictEqual(seen(b, all.got), range(1, 20))
      assert.strictEqual(all.got.length, 30)
      assert.deepStrictEqual(seen(workerTopic("w"), workers.got), range(1, 10))
      yield* gate.open
      yield* settle
      assert.deepStrictEqual(
        slow.got.map((delivery) => [delivery.topic, ...show([delivery])]),
        [
          [a, "3"],
          [b, "1"],
          [b, "2"],
          ["session:*", "lagged 4-26 (23)"],
          [b, "18"],
          [a, "12"],
          [b, "19"],
          [b, "20"]
        ]
      )
      assert.deepInclude(
        (yield* statsOf("session:*")).map(({ delivered, lost, pending, published }) => [
          published,
          delivered,
          lost,
          pending
        ]),
        [30, 7, 23, 0]
      )
    })
  )

  test(
    "tells who listens, how much each has had, and forgets who has gone",
    Effect.gen(function* () {
      const bus = yield* EventBus
      yield* write(4)
      const billing = yield* listen({ topic: a, from: 3, label: "billing", connection: "rpc 7" })
      const { fiber, gate } = yield* stalled("sliding", 2)
      yield* write(5)
      yield* settle
      const [topic] = yield* bus.stats({ limit: 1 })
      assert.deepInclude(topic, { topic: a, subscribers: 2, delivered: 9, lost: 3, lag: 5, depth: 2 })
      assert.deepStrictEqual(
        topic?.list.map(({ connection, label, policy }) => [label, connection, policy]),
        [["billing", "rpc 7", "catchup"]]
      )
      const [, slow] = yield* statsOf(a)
      assert.deepInclude(slow, { published: 6, delivered: 1, lost: 3, pending: 2, depth: 2, lag: 5, state: "live" })
      yield* gate.open
      yield* settle
      assert.deepInclude((yield* statsOf(a))[1], { published: 6, delivered: 3, lost: 3, pending: 0, depth: 0, lag: 0 })
      yield* Fiber.interrupt(fiber)
      yield* Fiber.interrupt(billing.fiber)
      assert.deepStrictEqual(yield* bus.stats({ limit: 100 }), [])
    })
  )

  for (const policy of ["sliding", "dropping"] as const) {
    test(
      `${policy}: what the queue dropped and the reader then found on record is delivered, and not lost besides`,
      Effect.gen(function* () {
        const bus = yield* EventBus
        const first = yield* record(1)
        const pull = yield* Effect.flatMap(bus.open({ topic: a, from: 1, policy, capacity: 1 }), Stream.toPull)
        yield* bus.publish(first)
        yield* write(2)
        yield* settle
        assert.deepInclude(yield* onlyOne, { published: 3, delivered: 0, lost: 2, pending: 1 })
        assert.deepStrictEqual(show([...(yield* pull), ...(yield* pull)]), range(1, 3))
        assert.deepInclude(yield* onlyOne, { published: 3, delivered: 3, lost: 0, pending: 0 })
      })
    )
  }

  for (const policy of Policy.literals) {
    for (const ahead of [0, 1, 2, 3, 7]) {
      test(
        `${policy}: the end of a session comes, last and once, also when ${ahead} events before it find a queue of two`,
        Effect.gen(function* () {
          const journal = yield* Journal
          const bus = yield* EventBus
          const { fiber, gate, got } = yield* stalled(policy, 2)
          if (ahead > 0) yield* Effect.forEach(range(1, ahead), () => write(1))
          const end = { _tag: "SessionEnded" as const, reason: "done" }
          const last = ahead + 2
          yield* bus.publish(
            yield* journal.append([{ stream: a, after: last - 1, events: [end], open: false, summary: "{}" }])
          )
          yield* settle
          for (const one of yield* statsOf()) {
            assert.strictEqual(one.delivered + one.lost + one.pending, one.published)
            // Who is cut off counts no more.
            if (policy !== "disconnect") assert.strictEqual(one.published, last)
          }
          yield* gate.open
          for (let n = 0; n < 3; n++) yield* settle
          let all = got
          // Who was cut off comes back after what it has.
          const exit = fiber.pollUnsafe()
          if (exit !== undefined) {
            assert.strictEqual(policy, "disconnect")
            const had = got.findLast((delivery) => delivery._tag === "Event")?.sequence ?? 0
            const again = yield* listen({ topic: a, from: had + 1, policy })
            yield* settle
            all = [...got, ...again.got]
          }
          const told = all.flatMap((delivery): ReadonlyArray<string | number> =>
            delivery._tag === "Event"
              ? [delivery.sequence]
              : "to" in delivery
                ? [`${delivery.from}-${delivery.to}`]
                : []
          )
          assert.strictEqual(told.at(-1), last, told.join())
          assert.strictEqual(told.filter((one) => one === last).length, 1)
          const count = all.reduce((sum, one) => sum + (one._tag === "Lagged" ? one.count : 1), 0)
          assert.strictEqual(count, last)
        })
      )
    }
  }

  const step = Schema.Struct({
    count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })),
    yields: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6 })),
    isDelta: Schema.Boolean
  })
  it.effect.prop(
    "delivered + lost + pending = published, exactly, at any moment and under every policy",
    [
      Policy,
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8 })),
      Schema.Array(step).check(Schema.isMinLength(1), Schema.isMaxLength(40))
    ],
    ([policy, capacity, pace, steps]) =>
      Effect.gen(function* () {
        const bus = yield* EventBus
        const yields = (times: number) => Effect.forEach(Array.from({ length: times }), () => Effect.yieldNow)
        yield* write(3)
        let busy = true
        const { fiber, got } = yield* listen({ topic: a, policy, capacity }, () =>
          Effect.suspend(() => (busy ? Effect.asVoid(yields(pace)) : Effect.void))
        )
        yield* settle
        let published = 0
        for (const { count, isDelta, yields: pause } of steps) {
          yield* write(count)
          published += count
          if (isDelta) {
            yield* bus.publishEphemeral(a, { _tag: "ChildStarted", path: "", reason: "call" })
          }
          yield* yields(pause)
          // The fan-out itself holds a batch until the subscriber's next turn.
          for (const one of yield* statsOf(a)) {
            assert.isAtMost(one.published, published)
            assert.strictEqual(one.delivered + one.lost + one.pending, one.published)
            assert.isAtLeast(one.pending, 0)
            assert.isAtMost(one.depth, capacity + 5)
          }
        }
        busy = false
        yield* settle
        yield* settle
        const events = got.filter((delivery) => delivery._tag === "Event").length
        const told = got.reduce((sum, delivery) => sum + (delivery._tag === "Lagged" ? delivery.count : 0), 0)
        if (fiber.pollUnsafe() !== undefined) {
          assert.strictEqual(policy, "disconnect")
          assert.deepStrictEqual(yield* statsOf(a), [])
          return
        }
        assert.strictEqual(events + told, published)
        assert.deepInclude(yield* onlyOne, { published, delivered: events, lost: told, pending: 0, lag: 0 })
      }).pipe(Effect.scoped, Effect.provide(bus, { local: true })),
    { arbitrary: { runs: 300 } }
  )

  test(
    "a subscription is open when it says so",
    Effect.gen(function* () {
      const bus = yield* EventBus
      const deliveries = yield* bus.open({ topic: a })
      yield* write(2)
      assert.deepStrictEqual(show(yield* Stream.runCollect(Stream.take(deliveries, 2))), ["1", "2"])
    })
  )
}
