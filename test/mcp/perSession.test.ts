/** A session sees no more of the declared servers than it was started with, and its rules leave it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Stream } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { fake } from "../support/McpWorld.ts"
import { calls, layer as scripted, says } from "../support/ScriptedModel.ts"

/** A runtime with two servers, whose model calls `other__echo` once and tells which tools of servers it was offered. */
const world = () => {
  const offered: Array<ReadonlyArray<string>> = []
  const model = scripted(({ prompt, tools }) => {
    if (prompt.content.at(-1)?.role === "tool") return says("done")
    offered.push(tools.map(({ name }) => name).filter((name) => name.endsWith("__echo")))
    return calls(["other__echo", { text: "a" }])
  })
  const layer = Runtime.layerMemory({ mcpServers: { mine: fake(), other: fake() }, model }).pipe(
    Layer.provide(Logger.layer([]))
  )
  return { layer, offered }
}

/** How the calls of the session's next turn end. */
const turn = (sessionId: SessionId, after: number) =>
  Effect.gen(function* () {
    const sessions = yield* SessionManager
    const bus = yield* EventBus
    yield* sessions.send({ sessionId, text: "go" })
    const events = yield* bus.subscribe({ topic: Topic.ofSession(sessionId), from: after + 1 }).pipe(
      Stream.filter((delivery) => delivery._tag === "Event"),
      Stream.map(({ event }) => event),
      Stream.takeUntil(({ _tag }) => _tag === "TurnEnded"),
      Stream.runCollect,
      Effect.timeout("20 seconds")
    )
    return events.flatMap((event) => {
      if (event._tag !== "ToolCallSettled") return []
      return [event.outcome._tag === "ToolFailed" ? event.outcome.failure.code : event.outcome._tag]
    })
  })

describe("servers of a session", () => {
  it.live("what a session's rules deny is neither offered to its model nor run for it", () =>
    Effect.suspend(() => {
      const { layer, offered } = world()
      return Effect.gen(function* () {
        const sessions = yield* SessionManager
        const outcomes = yield* Effect.forEach([[], [{ tool: "other__*", decision: "deny" as const }], []], (rules) =>
          Effect.flatMap(sessions.start({ permissions: { rules } }), ({ id, sequence }) => turn(id, sequence))
        )
        assert.deepStrictEqual(offered, [["mine__echo", "other__echo"], ["mine__echo"], ["mine__echo", "other__echo"]])
        assert.deepStrictEqual(outcomes.flat(), ["ToolCompleted", "permission_denied", "ToolCompleted"])
      }).pipe(Effect.provide(layer))
    })
  )

  it.live("what a session was not started with is neither offered to its model nor run for it, nor for a person", () =>
    Effect.suspend(() => {
      const { layer, offered } = world()
      return Effect.gen(function* () {
        const sessions = yield* SessionManager
        const started = yield* Effect.forEach([undefined, ["mine"], [], ["other", "other"]], (mcpServers) =>
          sessions.start({ mcpServers })
        )
        const outcomes = yield* Effect.forEach(started, ({ id, sequence }) => turn(id, sequence))
        assert.deepStrictEqual(offered, [["mine__echo", "other__echo"], ["mine__echo"], [], ["other__echo"]])
        assert.deepStrictEqual(outcomes.flat(), ["ToolCompleted", "tool_not_found", "tool_not_found", "ToolCompleted"])
        const asked = yield* Effect.forEach(started, ({ id: sessionId }) =>
          Effect.result(sessions.runTool({ sessionId, tool: "other__echo", args: { text: "b" } }))
        )
        assert.deepStrictEqual(
          asked.map((run) => (run._tag === "Failure" ? run.failure._tag : "ran")),
          ["ran", "ToolNotFound", "ToolNotFound", "ran"]
        )
      }).pipe(Effect.provide(layer))
    })
  )

  it.live("a server that is not declared is refused at the start, and nothing is started", () =>
    Effect.suspend(() =>
      Effect.gen(function* () {
        const sessions = yield* SessionManager
        const refused = yield* Effect.flip(sessions.start({ mcpServers: ["mine", "mail"] }))
        assert.strictEqual(refused._tag, "McpServerNotFound")
        assert.strictEqual(refused.message, 'there is no MCP server "mail"; there are mine, other')
        assert.deepStrictEqual(yield* sessions.list({ limit: 10 }), [])
      }).pipe(Effect.provide(world().layer))
    )
  )

  it.live("a sub-session sees what the session above it sees, or less of it", () =>
    Effect.suspend(() => {
      const { layer, offered } = world()
      return Effect.gen(function* () {
        const sessions = yield* SessionManager
        const { id: sessionId } = yield* sessions.start({ mcpServers: ["mine"] })
        const below = yield* sessions.start({ parent: { sessionId } })
        const none = yield* sessions.start({ parent: { sessionId }, mcpServers: [] })
        const more = yield* Effect.flip(sessions.start({ parent: { sessionId }, mcpServers: ["other"] }))
        assert.strictEqual(more.message, 'there is no MCP server "other"; there are mine')
        yield* Effect.forEach([below, none], ({ id, sequence }) => turn(id, sequence))
        assert.deepStrictEqual(offered, [["mine__echo"], []])
      }).pipe(Effect.provide(layer))
    })
  )
})
