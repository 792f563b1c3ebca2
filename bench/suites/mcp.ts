/**
 * Calls of an MCP server over its standard input and output, beside the SDK's own client with its own transport; how long
 * a caller waits to be told of a crash; and what a line of 40 MB costs in memory.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { call, fake, layer, make, until } from "../../test/support/McpWorld.ts"
import type { Figure } from "../Figure.ts"
import { perOperation } from "../measure.ts"

const CALLS = 500
const CRASHES = 10

const ready = until("fake", ({ state }) => state === "ready")

const ours = Effect.gen(function* () {
  yield* ready
  return yield* perOperation(CALLS, Effect.repeat(call("fake__echo", { text: "a" }), { times: CALLS - 1 }))
}).pipe(Effect.provide(layer({ fake: fake() })))

const bare = Effect.gen(function* () {
  const args = [fileURLToPath(new URL("../../test/fixtures/mcp/fake-server.ts", import.meta.url))]
  const client = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Client({ name: "bare", version: "1" })
      await client.connect(new StdioClientTransport({ command: process.execPath, args }))
      return client
    }),
    (client) => Effect.promise(() => client.close())
  )
  return yield* perOperation(
    CALLS,
    Effect.promise(async () => {
      for (let i = 0; i < CALLS; i++) await client.callTool({ name: "echo", arguments: { text: "a" } })
    })
  )
}).pipe(Effect.scoped)

/** Milliseconds, the worst of some. */
const crash = Effect.gen(function* () {
  let worst = 0
  for (let i = 0; i < CRASHES; i++) {
    yield* ready
    yield* call("fake__echo", { text: "a" })
    const start = performance.now()
    yield* Effect.ignore(make("crash"))
    worst = Math.max(worst, performance.now() - start)
  }
  return worst
}).pipe(Effect.provide(layer({ fake: fake() })))

/** Mebibytes at the peak of the second such answer: the first grows the buffers of the process itself. */
const huge = Effect.gen(function* () {
  yield* ready
  yield* Effect.ignore(make("huge"))
  const before = process.memoryUsage().rss
  let peak = before
  const watching = yield* Effect.sync(() => {
    peak = Math.max(peak, process.memoryUsage().rss)
  }).pipe(Effect.andThen(Effect.sleep("5 millis")), Effect.forever, Effect.forkScoped)
  yield* Effect.ignore(make("huge"))
  watching.interruptUnsafe()
  return (peak - before) / 1024 / 1024
}).pipe(Effect.scoped, Effect.provide(layer({ fake: fake() })))

export const suite = Effect.gen(function* () {
  const figures: ReadonlyArray<Figure> = [
    {
      name: "one call of an MCP server over stdio",
      unit: "µs",
      value: yield* ours,
      baseline: { name: "the SDK's client", value: yield* bare }
    },
    {
      name: "until a caller knows that the server crashed, worst of 10",
      unit: "ms",
      value: yield* crash,
      bar: "<= 200 ms"
    },
    { name: "memory for an answer of 40 MB", unit: "MiB", value: yield* huge, bar: "+16 MiB" }
  ]
  return figures
})
