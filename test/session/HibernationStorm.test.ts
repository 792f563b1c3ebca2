/** Many sessions that go to sleep and wake at the same time, and processes that end meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Sessions } from "../../services/supervision/Places.ts"
import { ended } from "../contracts/SessionManager.ts"
import { eventually } from "../support/eventually.ts"
import { growth } from "../support/resources.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { eventsOf, inProcess, layerDurable } from "../support/SessionWorld.ts"

const isLong = process.env["ESPALIER_LONG"] !== undefined
const CROWD = isLong ? 10_000 : 500
const SLEEPERS = isLong ? 5_000 : 1_000
/** Half of them warm up what is made only once. */
const CYCLES = isLong ? 24 : 16
/** How many of a crowd are listened to. */
const HEARD = 25

const durable = Effect.provide(layerDurable)
const here = inProcess({ hibernateAfter: "5 minutes" })
const sleep = TestClock.adjust("5 minutes")

const named = (kind: string, count: number) =>
  Array.from({ length: count }, (_, at) => SessionId.make(`ses_${kind}${at}`))

const start = (ids: ReadonlyArray<SessionId>) =>
  Effect.flatMap(SessionManager, (manager) =>
    Effect.forEach(ids, (sessionId) => manager.start({ sessionId }), { concurrency: 50, discard: true })
  )

/** Without a trace in their journals. */
const wake = (ids: ReadonlyArray<SessionId>) =>
  Effect.flatMap(SessionManager, (manager) =>
    Effect.forEach(ids, (id) => manager.update(id, {}), { concurrency: 100, discard: true })
  )

/** Until so many are in memory, and the others are not. */
const awake = Effect.fnUntraced(function* (count: number) {
  const sessions = yield* Sessions
  let specs = -1
  const look = Effect.map(sessions.countChildren, (children) => {
    specs = children.specs
  })
  while (specs !== count) yield* Effect.andThen(look, Effect.yieldNow)
})

/** All that a reader from the first event on hears of a session. */
const listen = Effect.fnUntraced(function* (id: SessionId) {
  const bus = yield* EventBus
  const heard = { sequences: new Array<number>(), sleeps: 0, wakes: 0 }
  yield* bus.subscribe({ topic: Topic.ofSession(id), from: 1 }).pipe(
    Stream.runForEach((delivery) =>
      Effect.sync(() => {
        if (delivery._tag === "Event") heard.sequences.push(delivery.sequence)
        if (delivery._tag === "Lagged") heard.sequences.push(Number.NaN)
        if (delivery._tag !== "Ephemeral") return
        if (delivery.event._tag === "SessionHibernated") heard.sleeps++
        if (delivery.event._tag === "SessionWoken") heard.wakes++
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
  return heard
})

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at + 1)

describe("hibernation of many", () => {
  it.effect(
    `${CROWD} that sleep are woken at once while ${CROWD} others go to sleep: each answers once, and readers miss nothing`,
    () =>
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const registry = yield* Registry
        const crowds = [named("a", CROWD), named("b", CROWD)] as const
        for (const crowd of crowds) yield* start(crowd)
        const readers = yield* Effect.forEach(
          crowds.flatMap((crowd) => crowd.slice(0, HEARD)),
          (id) => Effect.map(listen(id), (heard) => ({ id, heard }))
        )
        yield* sleep
        yield* awake(0)
        const rounds = 4
        for (let round = 1; round <= rounds; round++) {
          const [woken, drowsy] = round % 2 === 1 ? crowds : [crowds[1], crowds[0]]
          // The last second alone, for a call may take five.
          yield* TestClock.adjust("299 seconds")
          const clock = yield* Effect.forkChild(TestClock.adjust("1 second"))
          const sent = yield* Effect.forEach(
            woken,
            (sessionId) => manager.send({ sessionId, text: `round ${round}` }),
            { concurrency: "unbounded" }
          )
          assert.lengthOf(sent, CROWD)
          yield* Fiber.join(clock)
          for (const id of woken) yield* ended(id, Math.ceil(round / 2))
          yield* awake(CROWD)
          assert.strictEqual(yield* registry.count, 2 * CROWD)
          assert.lengthOf(yield* registry.find({ status: "hibernated", limit: 3 * CROWD }), CROWD)
          for (const id of drowsy.slice(0, HEARD)) {
            assert.strictEqual((yield* manager.get(id)).status, "hibernated")
          }
        }
        for (const id of crowds.flat()) {
          const events = yield* eventsOf(id)
          assertLaws(events.map(({ event }) => event))
          assert.strictEqual(events.filter(({ event }) => event._tag === "TurnEnded").length, rounds / 2)
        }
        for (const { heard, id } of readers) {
          const { length } = yield* eventsOf(id)
          yield* eventually(`${id} is heard`, () => heard.sequences.length >= length)
          assert.deepStrictEqual(heard.sequences, numbers(length))
          assert.isAtLeast(heard.sleeps, 2)
          assert.strictEqual(heard.wakes, 2)
        }
      }).pipe(Effect.scoped, here, durable),
    900_000
  )

  it.effect("a server that ends while sleepers wake loses no message, and the next one answers each once", () =>
    Effect.gen(function* () {
      const ids = named("s", 100)
      const messages = [3, 7, 10, 14, 20].map((steps, at) => ({ steps, messageId: MessageId.make(`msg_${at}`) }))
      // A few at a time, so that some have their answer, some are on their way and some sleep.
      const sendAll = (messageId: MessageId) =>
        Effect.flatMap(SessionManager, (manager) =>
          Effect.forEach(ids, (sessionId) => manager.send({ sessionId, messageId, text: messageId }), {
            concurrency: 10,
            discard: true
          })
        )
      yield* here(start(ids))
      for (const [at, { messageId, steps }] of messages.entries()) {
        yield* here(
          Effect.gen(function* () {
            // None of them has work left: they come back when they are spoken to.
            assert.strictEqual(yield* (yield* Registry).count, 0)
            yield* wake(ids)
            assert.strictEqual(yield* (yield* Registry).count, ids.length)
            yield* sleep
            yield* awake(0)
            const waking = yield* Effect.forkChild(sendAll(messageId), { startImmediately: true })
            for (let step = 0; step < steps; step++) yield* Effect.yieldNow
            yield* Fiber.interrupt(waking)
          })
        )
        yield* here(
          Effect.gen(function* () {
            // As clients do that were not answered: with the same message ids.
            yield* sendAll(messageId)
            for (const id of ids) yield* ended(id, at + 1)
          })
        )
      }
      for (const id of ids) {
        const events = (yield* eventsOf(id)).map(({ event }) => event)
        assertLaws(events)
        const received = events.flatMap((event) => (event._tag === "MessageReceived" ? [event.messageId] : []))
        assert.deepStrictEqual(
          received,
          messages.map(({ messageId }) => messageId)
        )
        assert.strictEqual(events.filter(({ _tag }) => _tag === "MessageSettled").length, messages.length)
      }
    }).pipe(durable)
  )

  it.effect(
    `${SLEEPERS} that sleep and wake again and again take no more memory than before`,
    () =>
      Effect.gen(function* () {
        const ids = named("s", SLEEPERS)
        yield* start(ids)
        const cycle = Effect.gen(function* () {
          yield* sleep
          yield* awake(0)
          yield* wake(ids)
          yield* awake(SLEEPERS)
        })
        const left = yield* growth(CYCLES / 2, (cycles) => Effect.repeat(cycle, { times: cycles - 1 }))
        // One small object in a list takes more; code that is still being compiled takes half of it, at this size.
        assert.isBelow(left / SLEEPERS / (CYCLES / 2), 56, "bytes that one of them leaves behind each time")
        assert.strictEqual(yield* (yield* Registry).count, SLEEPERS)
      }).pipe(here, durable),
    900_000
  )
})
