/** A session sees no more of the declared servers than its rules leave it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Stream } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { fake } from "../support/McpWorld.ts"
import { calls, layer as scripted, says } from "../support/ScriptedModel.ts"

describe("servers of a session", () => {
  it.live("what a session's rules deny is neither offered to its model nor run for it", () =>
    Effect.gen(function* () {
      const offered: Array<ReadonlyArray<string>> = []
      const model = scripted(({ prompt, tools }) => {
        if (prompt.content.at(-1)?.role === "tool") return says("done")
        offered.push(tools.map(({ name }) => name).filter((name) => name.includes("__")))
        return calls(["other__echo", { text: "a" }])
      })
      yield* Effect.gen(function* () {
        const sessions = yield* SessionManager
        const bus = yield* EventBus
        const outcomes = yield* Effect.forEach([[], [{ tool: "other__*", decision: "deny" as const }], []], (rules) =>
          Effect.gen(function* () {
            const { id } = yield* sessions.start({ permissions: { rules } })
            yield* sessions.send({ sessionId: id, text: "go" })
            const events = yield* bus.subscribe({ topic: Topic.ofSession(id), from: 1 }).pipe(
              Stream.filter((delivery) => delivery._tag === "Event"),
              Stream.map(({ event }) => event),
              Stream.takeUntil(({ _tag }) => _tag === "TurnEnded"),
              Stream.runCollect,
              Effect.timeout("20 seconds")
            )
            return events.flatMap((event) => (event._tag === "ToolCallSettled" ? [event.outcome] : []))
          })
        )
        assert.deepStrictEqual(
          offered.map((names) => names.includes("other__echo")),
          [true, false, true]
        )
        assert.isTrue(offered.every((names) => names.includes("mine__echo")))
        assert.deepStrictEqual(
          outcomes.flat().map((outcome) => (outcome._tag === "ToolFailed" ? outcome.failure.code : outcome._tag)),
          ["ToolCompleted", "permission_denied", "ToolCompleted"]
        )
      }).pipe(
        Effect.provide(
          Runtime.layerMemory({ mcpServers: { mine: fake(), other: fake() }, model }).pipe(
            Layer.provide(Logger.layer([]))
          )
        )
      )
    })
  )
})
