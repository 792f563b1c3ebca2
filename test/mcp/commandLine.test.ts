/** A server that was started with a `.mcp.json`, as people use it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { errorCodes } from "../../services/gateway/ErrorCodes.ts"
import { McpServer, McpTool } from "../../services/mcp/McpServer.ts"
import { Session } from "../../services/session/Session.ts"
import * as Client from "../../src/client.ts"
import { espalier, type Server, server } from "../support/CommandLine.ts"
import { fake } from "../support/McpWorld.ts"
import { isRunning, soon, writtenPids } from "../support/processes.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const json = <A, I>(schema: Schema.Codec<A, I>, server: Server, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { status, stderr, stdout } = yield* espalier(server, ...args, "--json")
    assert.strictEqual(status, 0, stderr)
    return yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.toCodecJson(schema)))(stdout)
  })

const write = (directory: string, declared: object) => {
  const path = join(directory, ".mcp.json")
  writeFileSync(path, JSON.stringify({ mcpServers: declared }))
  return path
}

describe("espalier mcp", () => {
  it.live("lists servers and tools, runs one, blocks what changes over a restart, and approves it", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const data = join(directory, "data")
      const path = write(directory, { fake: fake() })
      yield* Effect.gen(function* () {
        const running = yield* server(data, { ESPALIER_MCP_CONFIG: path })
        // The tools are waited for; the state is then known too.
        const ran = yield* espalier(running, "tool", "run", "fake__echo", "--args", '{"text":"hello"}')
        assert.match(ran.stdout, /"text": "hello"/)
        const [one] = yield* json(Schema.Array(McpServer), running, "mcp", "list")
        assert.deepInclude(one, { name: "fake", state: "ready", tools: 3, blocked: 0, refused: 1 })
        const client = yield* Client.make(running)
        yield* client.RestartMcpServer({ server: "fake" })
        const nobody = yield* espalier(running, "mcp", "tools", "nobody")
        assert.strictEqual(nobody.status, errorCodes.McpServerNotFound.exit)
        assert.match(nobody.stderr, /there are fake/)
      }).pipe(Effect.scoped)

      write(directory, { fake: fake({ FAKE_DESCRIPTION: "other words" }) })
      yield* Effect.gen(function* () {
        const running = yield* server(data, { ESPALIER_MCP_CONFIG: path })
        const client = yield* Client.make(running)
        yield* client
          .McpServers()
          .pipe(
            Effect.repeat({ schedule: Schedule.spaced("50 millis"), until: ([fake]) => fake?.blocked === 1 }),
            Effect.timeout("10 seconds")
          )
        const tools = yield* json(Schema.Array(McpTool), running, "mcp", "tools", "fake")
        assert.deepInclude(
          tools.find(({ tool }) => tool === "echo"),
          { state: "changed", description: "other words" }
        )
        const approved = yield* espalier(running, "mcp", "approve", "fake")
        assert.strictEqual(approved.stdout, "approved echo\n")
        const ran = yield* espalier(running, "tool", "run", "fake__echo", "--args", '{"text":"hello"}')
        assert.match(ran.stdout, /"text": "hello"/)
      }).pipe(Effect.scoped)
    }).pipe(Effect.scoped)
  )

  it.live(
    "a session sees what it was started with, has a server of its own, and leaves no process when all is killed",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const pids = join(directory, "pids")
        const declared = { own: fake({ FAKE_PIDS: pids }, { scope: "session" }), other: fake() }
        const running = yield* server(join(directory, "data"), { ESPALIER_MCP_CONFIG: write(directory, declared) })
        const flags = ["--directory", directory, "--mcp", "own, other"]
        const { id: one } = yield* json(Session, running, "session", "start", ...flags)
        const call = ["tool", "run", "own__echo", "--session", one, "--args", '{"text":"hello"}']
        assert.match((yield* espalier(running, ...call)).stdout, /"text": "hello"/)
        const client = yield* Client.make(running)
        for (const mcpServers of [["other"], []]) {
          const { id: sessionId } = yield* client.StartSession({ mcpServers })
          const unseen = yield* Effect.flip(client.RunTool({ sessionId, tool: "own__echo", args: { text: "hello" } }))
          assert.strictEqual(unseen._tag, "ToolNotFound")
        }
        const wrong = yield* espalier(running, "session", "start", "--mcp", "own,mail")
        assert.strictEqual(wrong.status, errorCodes.McpServerNotFound.exit)
        assert.include(wrong.stderr, 'there is no MCP server "mail"; there are own, other')

        const { stdout } = yield* espalier(running, "mcp", "list")
        assert.match(stdout, /^SERVER +OVER +FOR +STATE /)
        assert.match(stdout, /\nown +stdio +sessions: 1 +ready /)
        assert.match(stdout, /\nother +stdio +all +ready /)
        assert.match(stdout, new RegExp(`\\nown +${one} +ready +0 +0`))

        const started = writtenPids(pids)
        assert.lengthOf(started, 2)
        running.running.process.kill("SIGKILL")
        yield* soon("all of it is gone", () => !started.some(isRunning))
      }).pipe(Effect.scoped)
  )

  it.live("a mistake in the configuration stops the start, and every place of it is told", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const path = write(directory, { a: { command: 1 }, b: { type: "sse", url: "http://x" } })
      const nowhere = { url: "http://127.0.0.1:9" }
      const args = ["pool", "status", "--embedded", "--data", join(directory, "data"), "--mcp-config"]
      const refused = yield* espalier(nowhere, ...args, path)
      assert.strictEqual(refused.status, errorCodes.InvalidConfig.exit, refused.stderr)
      assert.match(refused.stderr, /\.mcp\.json: .*mcpServers\.a\.command: .*; mcpServers\.b\.type: /)
      const missing = yield* espalier(nowhere, ...args, join(directory, "none.json"))
      assert.strictEqual(missing.status, errorCodes.InvalidConfig.exit, missing.stderr)
      assert.match(missing.stderr, /none\.json cannot be read/)
    }).pipe(Effect.scoped)
  )
})
