/** The official servers, through the whole runtime: a session runs their tools, and workers tell of it. */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Stream } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { EventBus } from "../../services/events/EventBus.ts"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { McpQuestions } from "../../services/mcp/McpQuestions.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import type { Schema } from "effect"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Tools } from "../../services/tools/Tools.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { fake, official, textOf } from "../support/McpWorld.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

class Directory extends Context.Service<Directory, string>()("test/Directory") {}

const World = Layer.unwrap(
  Effect.gen(function* () {
    const path = yield* temporaryDirectory
    return Runtime.layerMemory({
      mcpServers: {
        everything: official("everything"),
        files: official("filesystem", path),
        memory: Object.assign(official("memory"), { env: { MEMORY_FILE_PATH: join(path, "memory.json") } }),
        fake: fake({}, { deadline: "1 second" })
      },
      mcpQuestions: Layer.succeed(McpQuestions, {
        sample: ({ messages }) =>
          Effect.succeed({ model: "test", text: `sampled ${messages.length}`, stopReason: "endTurn" }),
        ask: () => Effect.succeed({ action: "accept", content: { colour: "green" } })
      })
    }).pipe(Layer.provideMerge(Layer.succeed(Directory, path)))
  })
).pipe(Layer.provide(Logger.layer([])))

const start = Effect.flatMap(SessionManager, (sessions) => Effect.map(sessions.start({}), ({ id }) => id))

/** Runs a tool in a session of its own and gives the events of its worker. */
const run = Effect.fnUntraced(function* (tool: string, args: Schema.Json) {
  const sessions = yield* SessionManager
  const bus = yield* EventBus
  const ran = yield* sessions.runTool({ sessionId: yield* start, tool, args })
  if (!("workerId" in ran)) return yield* Effect.die(new Error("it should be heavy"))
  const seen: Array<RuntimeEvent> = []
  yield* bus.subscribe({ topic: Topic.ofWorker(ran.workerId), from: 1 }).pipe(
    Stream.filter((delivery) => delivery._tag === "Event"),
    Stream.map(({ event }) => event),
    Stream.tap((event) => Effect.sync(() => seen.push(event))),
    Stream.takeUntil(({ _tag }) => _tag === "WorkerCompleted" || _tag === "WorkerFailed" || _tag === "WorkerCancelled"),
    Stream.runDrain,
    Effect.timeout("30 seconds")
  )
  return { workerId: ran.workerId, events: seen, last: seen.at(-1) }
})

const resultOf = (tool: string, args: Schema.Json) =>
  Effect.map(run(tool, args), ({ last }) => {
    if (last?._tag !== "WorkerCompleted") throw new Error(JSON.stringify(last))
    return last.result
  })

describe("official servers", () => {
  layer(World, { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    it.effect("everything: lists its tools beside the built-in ones, and runs them", () =>
      Effect.gen(function* () {
        const names = (yield* (yield* Tools).list).map(({ name }) => name)
        assert.includeMembers(names, [
          "analyze_codebase",
          "everything__echo",
          "files__read_text_file",
          "memory__read_graph"
        ])
        assert.deepStrictEqual(names, names.toSorted())
        assert.strictEqual(textOf(yield* resultOf("everything__echo", { message: "hello" })), "Echo: hello")
        assert.match(textOf(yield* resultOf("everything__get-sum", { a: 2, b: 3 })), /\b5\b/)
        const image = yield* resultOf("everything__get-tiny-image", {})
        assert.match(JSON.stringify(image), /"type":"image","mimeType":"image\/png","data":"/)
        const structured = yield* resultOf("everything__get-structured-content", { location: "Chicago" })
        assert.match(JSON.stringify(structured), /"structured":\{.*"temperature"/)
      })
    )

    it.effect("everything: progress is the worker's progress", () =>
      Effect.gen(function* () {
        const { events } = yield* run("everything__trigger-long-running-operation", { duration: 2, steps: 4 })
        const percents = events.flatMap((event) => (event._tag === "WorkerProgress" ? [event.percent] : []))
        assert.includeMembers(percents, [25, 50, 75])
      })
    )

    it.effect("everything: a worker that is cancelled is cancelled on the server", () =>
      Effect.gen(function* () {
        const pool = yield* WorkerPool
        const sessions = yield* SessionManager
        const args = { duration: 60, steps: 60 }
        const tool = "everything__trigger-long-running-operation"
        const ran = yield* sessions.runTool({ sessionId: yield* start, tool, args })
        if (!("workerId" in ran)) return assert.fail("it should be heavy")
        const bus = yield* EventBus
        yield* bus.subscribe({ topic: Topic.ofWorker(ran.workerId), from: 1 }).pipe(
          Stream.filter((delivery) => delivery._tag === "Event" && delivery.event._tag === "WorkerProgress"),
          Stream.runHead
        )
        yield* pool.cancel(ran.workerId, "test")
        assert.strictEqual((yield* pool.get(ran.workerId)).status, "cancelled")
        const { list } = yield* McpServers
        assert.deepStrictEqual(
          (yield* list).map(({ calls, restarts }) => [calls, restarts]),
          [
            [0, 0],
            [0, 0],
            [0, 0],
            [0, 0]
          ]
        )
      })
    )

    it.effect("everything: asks the model and the person, and gets the answers of whoever stands for them", () =>
      Effect.gen(function* () {
        const names = (yield* (yield* Tools).list).map(({ name }) => name)
        const sample = "everything__trigger-sampling-request"
        assert.include(names, sample)
        assert.match(textOf(yield* resultOf(sample, { prompt: "hi", maxTokens: 10 })), /sampled 1/)
        const ask = "everything__trigger-elicitation-request"
        assert.include(names, ask)
        assert.match(textOf(yield* resultOf(ask, {})), /accept|provided/i)
      })
    )

    it.effect("filesystem: reads and writes below its directory, and says in its own words what it refuses", () =>
      Effect.gen(function* () {
        const path = yield* Directory
        writeFileSync(join(path, "note.txt"), "milk and bread")
        assert.strictEqual(
          textOf(yield* resultOf("files__read_text_file", { path: join(path, "note.txt") })),
          "milk and bread"
        )
        yield* resultOf("files__write_file", { path: join(path, "new.txt"), content: "new" })
        assert.match(textOf(yield* resultOf("files__list_directory", { path })), /new\.txt/)
        const { last } = yield* run("files__read_text_file", { path: "/etc/hostname" })
        assert.isTrue(last?._tag === "WorkerFailed" && last.failure.code === "mcp_tool_failed")
        assert.match(JSON.stringify(last), /data, not instructions\): .*[Aa]ccess denied/)
      })
    )

    it.effect("memory: keeps a graph between calls", () =>
      Effect.gen(function* () {
        const entities = [{ name: "Ada", entityType: "person", observations: ["wrote the first program"] }]
        yield* resultOf("memory__create_entities", { entities })
        assert.match(textOf(yield* resultOf("memory__search_nodes", { query: "program" })), /Ada/)
      })
    )

    it.effect("mcp-hang: a call that is silent for its limit fails, is cancelled, and the next one works", () =>
      Effect.gen(function* () {
        const { last } = yield* run("fake__do", { what: "hang" })
        assert.isTrue(last?._tag === "WorkerFailed" && last.failure.code === "deadline_exceeded", JSON.stringify(last))
        const cancelled = JSON.parse(
          textOf(yield* resultOf("fake__do", { what: "cancelled" }))
        ) as ReadonlyArray<unknown>
        assert.strictEqual(cancelled.length, 1)
      })
    )

    it.effect("mcp-hang: progress starts the limit anew", () =>
      Effect.gen(function* () {
        const { last } = yield* run("fake__do", { what: "slow_progress" })
        assert.strictEqual(last?._tag, "WorkerCompleted")
      })
    )
  })
})
