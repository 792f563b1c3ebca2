import { Clock, Effect, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { type McpInstance, McpServer, McpTool } from "../../services/mcp/McpServer.ts"
import { given } from "./given.ts"
import * as Output from "./Output.ts"
import { inShort } from "../../services/tools/Tools.ts"
import { withClient } from "./Root.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const server = Argument.String("server").pipe(
  Argument.withDescription('A server\'s name in the configuration; see "espalier mcp list"')
)

const styleOf = (text: string, good: boolean): string => (good ? Terminal.green(text) : Terminal.red(text))

const stateOf = ({ retryAt, state }: Pick<McpServer, "retryAt" | "state">, now: number): string =>
  retryAt === undefined || retryAt < now ? state : `${state}, tried again in ${Terminal.duration(retryAt - now)}`

/** What sessions have of servers, a line each. */
const instancesOf = (running: ReadonlyArray<McpInstance & { readonly name: string }>, now: number): string =>
  Table.render(
    running,
    [
      { name: "SERVER", value: ({ name }) => name },
      { name: "SESSION", value: ({ session }) => session },
      {
        name: "STATE",
        value: (instance) => stateOf(instance, now),
        style: (text, { state }) => styleOf(text, state === "ready")
      },
      { name: "CALLS", value: ({ calls }) => String(calls), align: "right" },
      { name: "RESTARTS", value: ({ restarts }) => String(restarts), align: "right" },
      { name: "LAST ERROR", value: ({ lastError }) => lastError ?? "" }
    ],
    ""
  )

const list = Command.make("list", {}, () =>
  withClient((espalier) =>
    Effect.gen(function* () {
      const servers = yield* espalier.McpServers()
      const now = yield* Clock.currentTimeMillis
      yield* Output.print(Schema.Array(McpServer), servers, (servers) => {
        const rows = Table.render(
          servers,
          [
            { name: "SERVER", value: ({ name }) => name },
            { name: "OVER", value: ({ transport }) => transport },
            {
              name: "FOR",
              value: ({ instances, scope }) => (scope === "shared" ? "all" : `sessions: ${instances.length}`)
            },
            {
              name: "STATE",
              value: (server) => stateOf(server, now),
              style: (text, { state }) => styleOf(text, state === "ready")
            },
            { name: "TOOLS", value: ({ tools }) => String(tools), align: "right" },
            { name: "BLOCKED", value: ({ blocked }) => String(blocked), align: "right" },
            { name: "REFUSED", value: ({ refused }) => String(refused), align: "right" },
            { name: "RESTARTS", value: ({ restarts }) => String(restarts), align: "right" },
            { name: "LAST ERROR", value: ({ lastError }) => lastError ?? "" }
          ],
          'no MCP servers are declared; name a .mcp.json with "espalier serve --mcp-config FILE"'
        )
        const running = servers.flatMap(({ instances, name }) => instances.map((instance) => ({ name, ...instance })))
        return running.length === 0 ? rows : `${rows}\n\n${instancesOf(running, now)}`
      })
    })
  )
).pipe(Command.withDescription("The MCP servers that are declared, and how they are"))

const tools = Command.make("tools", { server }, ({ server }) =>
  withClient((espalier) =>
    Effect.flatMap(espalier.McpTools({ server }), (tools) =>
      Output.print(Schema.Array(McpTool), tools, (tools) =>
        Table.render(
          tools,
          [
            { name: "TOOL", value: ({ tool }) => tool },
            {
              name: "STATE",
              value: ({ state }) => state,
              style: (text, { state }) => styleOf(text, state === "usable")
            },
            { name: "NAME", value: ({ name }) => name },
            { name: "HASH", value: ({ hash }) => hash.slice(0, 12) },
            { name: "WHAT IT SAYS OF ITSELF", value: ({ description, reason }) => reason ?? inShort(description) }
          ],
          "it has shown no tools yet"
        )
      )
    )
  )
).pipe(Command.withDescription("The tools of one server: usable, blocked, refused"))

const approve = Command.make(
  "approve",
  {
    server,
    tool: Argument.String("tool").pipe(
      Argument.withDescription("One of its tools, by its own name (default: all that are blocked)"),
      Argument.optional
    ),
    hash: Flag.String("hash").pipe(
      Flag.withDescription("Only if this is still its hash, as the list of tools shows it"),
      Flag.optional
    )
  },
  ({ hash, server, tool }) =>
    withClient((espalier) =>
      Effect.flatMap(espalier.ApproveMcpTools({ server, ...given({ hash, tool }) }), (approved) =>
        Output.print(Schema.Struct({ approved: Schema.Array(Schema.String) }), { approved }, ({ approved }) =>
          approved.length === 0 ? "nothing of it was blocked" : `approved ${approved.join(", ")}`
        )
      )
    )
).pipe(
  Command.withDescription("Approve tools that are new or have changed, as the server describes them now"),
  Command.withExamples([
    { command: "espalier mcp approve filesystem", description: "All that is blocked" },
    {
      command: "espalier mcp approve filesystem write_file --hash 3f2a9c1b77de",
      description: "One tool, as it was when you looked"
    }
  ])
)

const restart = Command.make("restart", { server }, ({ server }) =>
  withClient((espalier) =>
    Effect.andThen(
      espalier.RestartMcpServer({ server }),
      Output.print(
        Schema.Struct({ restarted: Schema.String }),
        { restarted: server },
        () => `${server} is being restarted`
      )
    )
  )
).pipe(Command.withDescription("Start a server again, whatever its breaker says"))

export const mcp = Command.make("mcp").pipe(
  Command.withDescription("MCP servers: what is declared, how it is, and what may be used of it"),
  Command.withSubcommands([list, tools, approve, restart])
)
