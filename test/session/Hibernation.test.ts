import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Registry } from "../../services/registry/Registry.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Sessions } from "../../services/supervision/Places.ts"
import { IdleList } from "../../layers/session/IdleList.ts"
import { ended } from "../contracts/SessionManager.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { eventsOf, inProcess, is, layerDurable, until } from "../support/SessionWorld.ts"

const durable = Effect.provide(layerDurable)
const here = inProcess({ hibernateAfter: "5 minutes" })
const keyOf = (session: SessionId) => ({ session, role: "main", index: 0 })

const breathe = Effect.forEach(Array.from({ length: 200 }), () => Effect.yieldNow, { discard: true })

describe("hibernation", () => {
  it.effect("an idle session leaves memory but for its entry, and its next message wakes it", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const sessions = yield* Sessions
      const registry = yield* Registry
      const bus = yield* EventBus
      const { id } = yield* manager.start({ title: "sleepy", metadata: { owner: "ann" } })
      yield* manager.send({ sessionId: id, text: "hello" })
      yield* ended(id, 1)
      const reader = yield* bus.subscribe({ topic: Topic.ofSession(id), from: 6 }).pipe(
        Stream.map((delivery) => ("event" in delivery ? delivery.event._tag : "lagged")),
        Stream.takeUntil((tag) => tag === "TurnEnded"),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* breathe
      const before = yield* registry.lookup(keyOf(id))
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual((yield* sessions.countChildren).active, 1)
      yield* TestClock.adjust("1 minute")
      yield* breathe
      assert.strictEqual((yield* sessions.countChildren).specs, 0)
      assert.deepInclude(yield* registry.lookup(keyOf(id)), {
        status: "hibernated",
        metadata: { owner: "ann", agentType: "default" }
      })
      assert.deepInclude(yield* manager.get(id), { status: "hibernated", title: "sleepy", messages: 2 })
      assert.strictEqual((yield* manager.list({ limit: 1 }))[0]?.status, "hibernated")
      yield* manager.send({ sessionId: id, text: "again" })
      yield* ended(id, 2)
      assert.deepStrictEqual(yield* registry.lookup(keyOf(id)), before)
      assert.deepInclude(yield* manager.get(id), { status: "idle", messages: 4 })
      assert.deepStrictEqual(yield* Fiber.join(reader), [
        "SessionHibernated",
        "SessionWoken",
        "MessageReceived",
        "TurnStarted",
        "TextDelta",
        "MessageSettled",
        "TurnEnded"
      ])
      assertLaws((yield* eventsOf(id)).map(({ event }) => event))
    }).pipe(here, durable)
  )

  it.effect("whatever is under way keeps a session awake", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const working = yield* manager.start({})
      yield* manager.send({ sessionId: working.id, text: "/tool wait_once" })
      yield* until(working.id, is("ToolCallRequested"))
      const asking = yield* manager.start({})
      yield* manager.send({ sessionId: asking.id, text: "/tool shell" })
      yield* until(asking.id, is("PermissionRequested"))
      const above = yield* manager.start({})
      yield* manager.start({ parent: { sessionId: above.id } })
      yield* TestClock.adjust("299 seconds")
      yield* breathe
      for (const [{ id }, status] of [
        [working, "thinking"],
        [asking, "awaiting_permission"],
        [above, "idle"]
      ] as const) {
        assert.strictEqual((yield* manager.get(id)).status, status)
      }
    }).pipe(inProcess({ hibernateAfter: "1 minute" }), durable)
  )

  it.effect("a message in the instant in which a session leaves memory is answered once", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const ids = yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.map(manager.start({}), ({ id }) => id))
      for (let round = 1; round <= 4; round++) {
        const clock = yield* Effect.forkChild(TestClock.adjust("5 minutes"))
        for (let n = 0; n < round; n++) yield* Effect.yieldNow
        yield* Effect.forEach(ids, (sessionId) => manager.send({ sessionId, text: "now" }), { concurrency: 50 })
        yield* Fiber.join(clock)
        for (const id of ids) yield* ended(id, round)
      }
      for (const id of ids) assertLaws((yield* eventsOf(id)).map(({ event }) => event))
    }).pipe(here, durable)
  )

  it.effect("calls of persons, updates and stops wake it too", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({})
      const sleep = Effect.andThen(TestClock.adjust("5 minutes"), breathe)
      yield* sleep
      assert.deepStrictEqual(yield* manager.runTool({ sessionId: id, tool: "echo", args: { text: "up" } }), {
        result: "up"
      })
      yield* sleep
      assert.strictEqual((yield* manager.get(id)).status, "hibernated")
      assert.strictEqual((yield* manager.update(id, { title: "up" })).title, "up")
      yield* sleep
      assert.strictEqual((yield* Effect.flip(manager.cancelTurn(id)))._tag, "NoTurn")
      yield* sleep
      yield* manager.stop(id)
      assert.strictEqual((yield* manager.get(id)).status, "ended")
      yield* breathe
      assert.strictEqual(yield* (yield* Registry).count, 0)
    }).pipe(here, durable)
  )

  it.prop(
    "those that are due are those who were idle for long enough, whatever came in between",
    [
      Schema.Array(
        Schema.Struct({
          n: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 })),
          kind: Schema.Literals(["idle", "busy", "look"]),
          wait: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))
        })
      ).check(Schema.isMaxLength(40))
    ],
    ([steps]) => {
      const list = new IdleList<number>(100)
      const model = new Map<number, number>()
      let now = 0
      for (const { kind, n, wait } of steps) {
        now += wait
        if (kind === "idle") {
          list.add(n, now)
          model.set(n, now)
        } else if (kind === "busy") {
          list.delete(n)
          model.delete(n)
        } else {
          const due = [...model].filter(([, since]) => now >= since + 100).map(([one]) => one)
          for (const one of due) model.delete(one)
          assert.sameMembers([...list.take(now)], due)
        }
        assert.strictEqual(list.size, model.size)
      }
    }
  )
})
