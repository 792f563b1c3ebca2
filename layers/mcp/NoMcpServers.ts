/** `McpServers` where none are declared: nothing runs, and nothing that it takes to speak to one is loaded. */
import { Effect, Layer } from "effect"
import { McpServerNotFound } from "../../services/mcp/McpServer.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"

const notFound = (name: string) => new McpServerNotFound({ name, declared: [] })

const none: ReadonlyArray<never> = []

export const layer = Layer.succeed(McpServers, {
  names: none,
  list: Effect.succeed(none),
  tools: (server) => Effect.fail(notFound(server)),
  approve: ({ server }) => Effect.fail(notFound(server)),
  restart: (server) => Effect.fail(notFound(server)),
  source: { find: () => undefined, list: Effect.succeed(none) }
})
