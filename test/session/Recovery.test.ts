import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Sessions } from "../../services/supervision/Places.ts"
import { ended } from "../contracts/SessionManager.ts"
import { eventually } from "../support/eventually.ts"
import { calls, layer as scripted, says } from "../support/ScriptedModel.ts"
import { eventsOf, inProcess, is, layerDurable, SessionWorld, tagsOf, until } from "../support/SessionWorld.ts"

/** What a session was doing when its process died: the process is gone, the journal is not. */
const die = <A, E, R>(before: Effect.Effect<A, E, R>) => inProcess()(before)

const terminals = (tags: ReadonlyArray<string>) => tags.filter((tag) => tag === "TurnEnded").length

/** Makes the session's next append meet a second writer, which no fiber survives. */
const poison = Effect.gen(function* () {
  const world = yield* SessionWorld
  let isArmed = true
  world.beforeAppend = Effect.suspend(() => {
    if (!isArmed) return Effect.yieldNow
    isArmed = false
    return Effect.die(new Error("poisoned"))
  })
})

describe("recovery of sessions", () => {
  it.effect("what was acknowledged is there after the process has died, and is answered then", () =>
    Effect.gen(function* () {
      const id = yield* die(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const { id } = yield* manager.start({ title: "kept" })
          yield* manager.send({ sessionId: id, text: "/tool wait_again" })
          yield* until(id, is("ToolCallRequested"))
          const world = yield* SessionWorld
          yield* eventually("the tool runs", () => world.runs.length === 1)
          yield* manager.send({ sessionId: id, text: "second" })
          return id
        })
      )
      const world = yield* SessionWorld
      assert.strictEqual(terminals(tagsOf(yield* eventsOf(id))), 0)
      world.forgetGates()
      yield* Deferred.succeed(world.gate("wait_again"), "done")
      yield* inProcess()(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          yield* ended(id, 2)
          assert.deepInclude(yield* manager.get(id), { title: "kept", status: "idle", messages: 4, queued: 0 })
        })
      )
      assert.deepStrictEqual(tagsOf(yield* eventsOf(id)), [
        "SessionStarted",
        "MessageReceived",
        "TurnStarted",
        "ToolCallRequested",
        "MessageReceived",
        "ToolCallSettled",
        "MessageSettled",
        "TurnEnded",
        "TurnStarted",
        "MessageSettled",
        "TurnEnded"
      ])
      assert.deepStrictEqual(world.runs, ["wait_again", "wait_again"])
    }).pipe(Effect.provide(layerDurable))
  )

  it.effect("a call that may not be run twice is told as interrupted, and the turn goes on", () =>
    Effect.gen(function* () {
      const id = yield* die(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const { id } = yield* manager.start({})
          yield* manager.send({ sessionId: id, text: "/tool wait_once" })
          const world = yield* SessionWorld
          yield* eventually("the tool runs", () => world.runs.length === 1)
          return id
        })
      )
      yield* inProcess()(
        Effect.gen(function* () {
          assert.strictEqual((yield* until(id, is("ToolCallSettled"))).outcome._tag, "ToolInterrupted")
          assert.strictEqual((yield* until(id, is("TurnEnded"))).outcome, "completed")
        })
      )
      const world = yield* SessionWorld
      assert.deepStrictEqual(world.runs, ["wait_once"])
    }).pipe(Effect.provide(layerDurable))
  )

  it.effect("a result that was journaled is not produced again", () =>
    Effect.gen(function* () {
      const id = yield* inProcess({
        model: scripted((_, round) => (round === 0 ? calls(["echo", { text: "once" }]) : Stream.never))
      })(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const { id } = yield* manager.start({})
          yield* manager.send({ sessionId: id, text: "go" })
          yield* until(id, is("ToolCallSettled"))
          return id
        })
      )
      let shown = ""
      const model = scripted(({ prompt }) => {
        shown = JSON.stringify(prompt.content)
        return says("all done")
      })
      yield* inProcess({ model })(until(id, is("TurnEnded")))
      const world = yield* SessionWorld
      assert.deepStrictEqual(world.runs, ["echo"])
      assert.include(shown, '"once"')
    }).pipe(Effect.provide(layerDurable))
  )

  it.effect("a heavy call waits for its worker across a restart of the process", () =>
    Effect.gen(function* () {
      const id = yield* die(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const { id } = yield* manager.start({})
          yield* manager.send({ sessionId: id, text: "/tool wait_heavy" })
          yield* until(id, is("ToolCallRequested"))
          return id
        })
      )
      const world = yield* SessionWorld
      world.forgetGates()
      yield* Deferred.succeed(world.gate("wait_heavy"), "analysed")
      yield* inProcess()(ended(id, 1))
      const tags = tagsOf(yield* eventsOf(id))
      assert.strictEqual(tags.filter((tag) => tag === "ToolCallSettled").length, 1)
      assert.strictEqual(terminals(tags), 1)
    }).pipe(Effect.provide(layerDurable))
  )

  it.effect("a session that crashes tells those who wait, comes back with its state and finishes its turn", () =>
    inProcess()(
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const world = yield* SessionWorld
        const registry = yield* Registry
        const { id } = yield* manager.start({ title: "tough" })
        yield* manager.send({ sessionId: id, text: "/tool wait_again" })
        yield* until(id, is("ToolCallRequested"))
        yield* eventually("the tool runs", () => world.runs.length === 1)
        yield* poison
        const lost = yield* Effect.flip(manager.send({ sessionId: id, text: "unlucky" }))
        assert.strictEqual(lost._tag, "SessionInterrupted")
        yield* manager.send({ sessionId: id, text: "lucky" })
        yield* eventually("the tool runs again", () => world.runs.length === 2)
        yield* Deferred.succeed(world.gate("wait_again"), "done")
        yield* ended(id, 2)
        assert.deepInclude(yield* manager.get(id), { title: "tough", messages: 4, queued: 0, status: "idle" })
        assert.strictEqual((yield* registry.find({ session: id })).length, 1)
      })
    ).pipe(Effect.provide(layerDurable))
  )

  it.effect("a crashed session believes the journal and not its memory", () =>
    inProcess()(
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const journal = yield* Journal
        const { id } = yield* manager.start({ title: "mine" })
        const stream = Topic.ofSession(id)
        yield* journal.append([
          { stream, after: 1, events: [{ _tag: "SessionUpdated", title: "theirs" }], open: false, summary: "{}" }
        ])
        const lost = yield* Effect.flip(manager.send({ sessionId: id, text: "stale" }))
        assert.strictEqual(lost._tag, "SessionInterrupted")
        const ack = yield* manager.send({ sessionId: id, text: "fresh" })
        assert.strictEqual(ack.sequence, 3)
        assert.strictEqual((yield* manager.get(id)).title, "theirs")
        yield* ended(id, 1)
      })
    ).pipe(Effect.provide(layerDurable))
  )

  it.effect("a session that crashes again and again is given up on, and its next use starts it afresh", () =>
    inProcess()(
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const world = yield* SessionWorld
        const sessions = yield* Sessions
        const { id } = yield* manager.start({})
        const other = yield* manager.start({})
        world.beforeAppend = Effect.die(new Error("poisoned for good"))
        for (let crash = 0; crash < 4; crash++) {
          const lost = yield* Effect.flip(manager.send({ sessionId: id, text: "boom" }))
          assert.strictEqual(lost._tag, "SessionInterrupted")
        }
        world.beforeAppend = Effect.yieldNow
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* sessions.whichChildren).length, 1)
        assert.strictEqual((yield* manager.get(id)).status, "idle")
        yield* manager.send({ sessionId: id, text: "again" })
        yield* ended(id, 1)
        yield* manager.send({ sessionId: other.id, text: "untouched" })
      })
    ).pipe(Effect.provide(layerDurable))
  )

  it.effect("only sessions with unfinished business are taken up at the start; the others at their first use", () =>
    Effect.gen(function* () {
      const [idle, busy] = yield* die(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const idle = yield* manager.start({})
          const busy = yield* manager.start({})
          yield* manager.send({ sessionId: busy.id, text: "/tool wait_heavy" })
          yield* until(busy.id, is("ToolCallRequested"))
          return [idle.id, busy.id] as const
        })
      )
      yield* inProcess()(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const sessions = yield* Sessions
          while ((yield* sessions.whichChildren).length === 0) yield* Effect.yieldNow
          assert.deepStrictEqual(
            (yield* sessions.whichChildren).map(({ id }) => id),
            [busy]
          )
          assert.strictEqual((yield* manager.get(idle)).status, "idle")
          const acks = yield* Effect.all(
            Array.from({ length: 20 }, (_, i) => manager.send({ sessionId: idle, text: `${i}` })),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(new Set(acks.map(({ sequence }) => sequence)).size, 20)
          assert.strictEqual((yield* sessions.whichChildren).length, 2)
        })
      )
    }).pipe(Effect.provide(layerDurable))
  )

  it.effect("storage that is away refuses what is new and loses nothing: the turn ends once it is back", () =>
    inProcess()(
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const world = yield* SessionWorld
        const { id } = yield* manager.start({})
        yield* manager.send({ sessionId: id, text: "/tool wait_once" })
        yield* until(id, is("ToolCallRequested"))
        world.isStorageAway = true
        const before = yield* manager.get(id)
        const refusal = yield* Effect.flip(manager.send({ sessionId: id, text: "x" }))
        assert.strictEqual(refusal._tag, "StorageUnavailable")
        assert.deepStrictEqual(yield* manager.get(id), before)
        yield* Deferred.succeed(world.gate("wait_once"), "done")
        yield* TestClock.adjust("1 minute")
        world.isStorageAway = false
        const over = yield* Effect.forkChild(ended(id, 1))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* Fiber.join(over)).outcome, "completed")
      })
    ).pipe(Effect.provide(layerDurable))
  )

  it.effect("refuses more sessions than it may hold, and says so", () =>
    inProcess({ limit: 2 })(
      Effect.gen(function* () {
        const manager = yield* SessionManager
        yield* manager.start({})
        const { id } = yield* manager.start({})
        assert.deepInclude(yield* Effect.flip(manager.start({})), { _tag: "TooManySessions", limit: 2 })
        yield* manager.stop(id)
        yield* manager.start({})
      })
    ).pipe(Effect.provide(layerDurable))
  )

  it.effect("a turn that a process left open can be stopped in the next one", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const id = yield* die(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const { id } = yield* manager.start({})
          yield* manager.send({ sessionId: id, text: "/tool wait_once" })
          yield* until(id, is("ToolCallRequested"))
          return id
        })
      )
      const head = yield* journal.head(Topic.ofSession(id))
      assert.isTrue(head?.open)
      yield* inProcess()(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          yield* manager.stop(id)
          assert.strictEqual((yield* manager.get(id)).status, "ended")
        })
      )
      assert.isFalse((yield* journal.head(Topic.ofSession(id)))?.open)
      assert.strictEqual(terminals(tagsOf(yield* eventsOf(id))), 1)
    }).pipe(Effect.provide(layerDurable))
  )
})
