/** mcp-hang: servers that do not answer. What comes before they are ready has limits of ten seconds of real time each. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, References, Stream } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { inTime } from "../support/eventually.ts"
import { fake, layer, until } from "../support/McpWorld.ts"

describe("mcp-hang", () => {
  it.live(
    "never answers initialize, or the list of its tools: given up after ten seconds each, while others work",
    () =>
      Effect.gen(function* () {
        yield* until("well", ({ state }) => state === "ready")
        const [handshake, list] = yield* Effect.all(
          [until("handshake", ({ state }) => state === "broken"), until("list", ({ state }) => state === "broken")],
          { concurrency: 2 }
        )
        assert.match(handshake.lastError ?? "", /did not answer initialize within 10s/)
        assert.match(list.lastError ?? "", /did not answer tools\/list within 10s/)
        assert.strictEqual((yield* until("well", () => true)).restarts, 0)
      }).pipe(
        Effect.provide(
          layer(
            {
              handshake: fake({ FAKE_START: "hang_initialize" }),
              list: fake({ FAKE_START: "hang_list" }),
              well: fake()
            },
            { intensity: 0 }
          )
        )
      )
  )
})

describe("mcp-hang", () => {
  it.live(
    "a call that never ends is given up at its tool's limit and cancelled on the server, and the next works",
    () =>
      Effect.gen(function* () {
        const sessions = yield* SessionManager
        const bus = yield* EventBus
        const { list } = yield* McpServers
        yield* inTime(
          "it is ready",
          Effect.map(list, ([server]) => server?.state === "ready")
        )
        const { id } = yield* sessions.start({})
        const run = Effect.fnUntraced(function* (what: string) {
          const begun = yield* sessions.runTool({ sessionId: id, tool: "fake__do", args: { what } })
          if (!("workerId" in begun)) return assert.fail("it is no worker")
          const end = yield* bus.subscribe({ topic: Topic.ofWorker(begun.workerId), from: 1 }).pipe(
            Stream.flatMap((delivery) => (delivery._tag === "Event" ? Stream.succeed(delivery.event) : Stream.empty)),
            Stream.filter(({ _tag }) => _tag === "WorkerCompleted" || _tag === "WorkerFailed"),
            Stream.runHead
          )
          return JSON.stringify(end)
        })
        assert.include(yield* run("hang"), "deadline_exceeded")
        const [server] = yield* list
        assert.deepInclude(server, { calls: 0, restarts: 0, state: "ready" })
        // The server was told of one call that is cancelled.
        assert.match(yield* run("cancelled"), /\[\d+\]/)
      }).pipe(
        Effect.provide(Runtime.layerMemory({ mcpServers: { fake: fake({}, { deadline: "500 millis" }) } })),
        Effect.provideService(References.MinimumLogLevel, "None")
      )
  )
})
