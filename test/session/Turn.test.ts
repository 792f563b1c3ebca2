import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Queue, Stream } from "effect"
import { AiError } from "effect/ai"
import { TestClock } from "effect/testing"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { ended } from "../contracts/SessionManager.ts"
import { eventually } from "../support/eventually.ts"
import { calls, layer as scripted, type Part, says, type Script } from "../support/ScriptedModel.ts"
import { eventsOf, inProcess, is, layerDurable, SessionWorld, tagsOf, until } from "../support/SessionWorld.ts"

/** Starts a session whose model does as the script says, and sends it one message. */
const turn = <A, E, R>(script: Script, test: (id: SessionId) => Effect.Effect<A, E, R>) =>
  inProcess({ model: scripted(script) })(
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({})
      yield* manager.send({ sessionId: id, text: "go" })
      return yield* test(id)
    })
  ).pipe(Effect.provide(layerDurable))

const failureOf = (id: SessionId) =>
  Effect.map(until(id, is("TurnEnded")), ({ failure, outcome }) => [outcome, failure?.code])

describe("a turn", () => {
  it.effect("streams what the model says, and journals it once it is whole", () => {
    const words = Queue.unbounded<Part>()
    return Effect.flatMap(words, (queue) =>
      turn(
        () => Stream.takeUntil(Stream.fromQueue(queue), ({ type }) => type === "finish"),
        Effect.fnUntraced(function* (id) {
          const bus = yield* EventBus
          const seen = yield* bus.subscribe({ topic: Topic.ofSession(id), from: 1 }).pipe(
            Stream.takeUntil((delivery) => delivery._tag === "Event" && delivery.event._tag === "TurnEnded"),
            Stream.runCollect,
            Effect.forkChild({ startImmediately: true })
          )
          for (let i = 0; i < 50; i++) yield* Effect.yieldNow
          for (const part of says("one ", "two ", "three")) {
            yield* Queue.offer(queue, part)
            for (let i = 0; i < 10; i++) yield* Effect.yieldNow
          }
          const deliveries = yield* Fiber.join(seen)
          const deltas = deliveries.flatMap((delivery) =>
            delivery._tag === "Ephemeral" && delivery.event._tag === "TextDelta" ? [delivery.event.text] : []
          )
          // The first at once, and those that follow within a blink together.
          assert.deepStrictEqual(deltas, ["one ", "two three"])
          assert.deepInclude(yield* until(id, is("MessageSettled")), { text: "one two three", partial: false })
        })
      )
    )
  })

  it.effect("runs calls that were asked for together, and shows their results in the order of the calls", () => {
    let shown: ReadonlyArray<string> = []
    return turn(
      ({ prompt }, round) => {
        if (round === 0) {
          return calls(["wait_heavy", {}], ["wait_once", {}], ["nothing_such", {}], ["echo", { text: "third" }])
        }
        const last = prompt.content.at(-1)
        shown =
          last?.role === "tool"
            ? last.content.map((part) => (part.type === "tool-result" ? `${part.name}:${part.isFailure}` : ""))
            : []
        return says("done")
      },
      Effect.fnUntraced(function* (id) {
        const world = yield* SessionWorld
        yield* eventually("both wait", () => world.runs.includes("wait_heavy") && world.runs.includes("wait_once"))
        yield* Deferred.succeed(world.gate("wait_once"), "fast")
        yield* until(id, is("ToolCallSettled"))
        yield* Deferred.succeed(world.gate("wait_heavy"), "heavy")
        yield* ended(id, 1)
        assert.deepStrictEqual(shown, ["wait_heavy:false", "wait_once:false", "nothing_such:true", "echo:false"])
      })
    )
  })

  it.effect("refuses a heavy call when the pool is full, in words the model can act on", () =>
    inProcess({
      pool: { permits: 1, capacity: 1 },
      model: scripted((_, round) =>
        round === 0 ? calls(["wait_heavy", {}], ["wait_heavy", {}], ["wait_heavy", {}]) : says("done")
      )
    })(
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        yield* manager.send({ sessionId: id, text: "go" })
        const { outcome } = yield* until(id, is("ToolCallSettled"))
        assert.strictEqual(outcome._tag === "ToolFailed" ? outcome.failure.code : outcome._tag, "pool_saturated")
        yield* manager.cancelTurn(id)
      })
    ).pipe(Effect.provide(layerDurable))
  )

  it.effect("stops a model that calls tools for ever", () =>
    turn(
      () => calls(["echo", { text: "again" }]),
      Effect.fnUntraced(function* (id) {
        assert.deepStrictEqual(yield* failureOf(id), ["failed", "too_many_steps"])
        const asked = tagsOf(yield* eventsOf(id)).filter((tag) => tag === "ToolCallRequested")
        assert.strictEqual(asked.length, 50)
      })
    )
  )

  it.effect("fails when the model fails, and the session goes on", () => {
    const broken = AiError.make({
      module: "test",
      method: "streamText",
      reason: new AiError.InvalidOutputError({ description: "gibberish" })
    })
    return turn(
      (_, round) =>
        round === 0
          ? Stream.concat(Stream.fromIterable(says("half an ans").slice(0, 2)), Stream.fail(broken))
          : says("ok"),
      Effect.fnUntraced(function* (id) {
        const manager = yield* SessionManager
        assert.deepStrictEqual(yield* failureOf(id), ["failed", "model_malformed"])
        assert.deepInclude(yield* until(id, is("MessageSettled")), { text: "half an ans", partial: true })
        yield* manager.send({ sessionId: id, text: "once more" })
        assert.strictEqual((yield* ended(id, 2)).outcome, "completed")
      })
    )
  })

  it.effect("fails when the model breaks, and the session goes on", () =>
    turn(
      (_, round) => (round === 0 ? Stream.die(new Error("a bug in an adapter")) : says("ok")),
      Effect.fnUntraced(function* (id) {
        const manager = yield* SessionManager
        assert.deepStrictEqual(yield* failureOf(id), ["failed", "turn_crashed"])
        yield* manager.send({ sessionId: id, text: "once more" })
        assert.strictEqual((yield* ended(id, 2)).outcome, "completed")
      })
    )
  )

  it.effect("keeps what was said when it is cancelled, marked as partial", () =>
    turn(
      () => Stream.concat(Stream.fromIterable(says("so far").slice(0, 2)), Stream.never),
      Effect.fnUntraced(function* (id) {
        const manager = yield* SessionManager
        for (let i = 0; i < 50; i++) yield* Effect.yieldNow
        yield* manager.cancelTurn(id)
        assert.deepInclude(yield* until(id, is("MessageSettled")), { text: "so far", partial: true })
        assert.deepStrictEqual(tagsOf(yield* eventsOf(id)).slice(-2), ["MessageSettled", "TurnEnded"])
      })
    )
  )

  it.effect("fails an answer that the provider cut off, and does not run its calls", () =>
    turn(
      () =>
        calls(["echo", { text: "x" }]).map((part) => (part.type === "finish" ? { ...part, reason: "length" } : part)),
      Effect.fnUntraced(function* (id) {
        const world = yield* SessionWorld
        assert.deepStrictEqual(yield* failureOf(id), ["failed", "answer_cut_off"])
        assert.deepStrictEqual(world.runs, [])
      })
    )
  )

  it.effect("gives up on a model that does not answer", () =>
    turn(
      () => Stream.never,
      Effect.fnUntraced(function* (id) {
        for (let i = 0; i < 50; i++) yield* Effect.yieldNow
        yield* TestClock.adjust("10 minutes")
        assert.deepStrictEqual(yield* failureOf(id), ["failed", "model_timeout"])
      })
    )
  )

  it.effect("gives up on a fast tool that shows no sign of life", () =>
    turn(
      (_, round) => (round === 0 ? calls(["silent", {}]) : says("done")),
      Effect.fnUntraced(function* (id) {
        const world = yield* SessionWorld
        yield* eventually("the tool runs", () => world.runs.length === 1)
        yield* TestClock.adjust("1 minute")
        const { outcome } = yield* until(id, is("ToolCallSettled"))
        assert.strictEqual(outcome._tag === "ToolFailed" ? outcome.failure.code : outcome._tag, "deadline_exceeded")
        yield* ended(id, 1)
      })
    )
  )

  it.effect("shows the model the turns before, but no message that still waits", () => {
    let shown = ""
    return turn(
      ({ prompt }, round) => {
        if (round === 1) return calls(["wait_once", {}])
        shown = JSON.stringify(prompt.content)
        return says(`answer ${round}`)
      },
      Effect.fnUntraced(function* (id) {
        const manager = yield* SessionManager
        const world = yield* SessionWorld
        yield* ended(id, 1)
        yield* manager.send({ sessionId: id, text: "second question" })
        yield* eventually("the tool runs", () => world.runs.length === 1)
        yield* manager.send({ sessionId: id, text: "third question" })
        yield* Deferred.succeed(world.gate("wait_once"), "a result")
        yield* until(
          id,
          (event): event is Extract<typeof event, { readonly _tag: "MessageSettled" }> =>
            event._tag === "MessageSettled" && event.text === "answer 2"
        )
        for (const text of ["go", "answer 0", "second question", "a result"]) assert.include(shown, text)
        yield* ended(id, 3)
        assert.include(shown, "third question")
      })
    )
  })
})
