/**
 * The declared MCP servers: each a supervised child that is connected, watched and started again, with its tools offered
 * like those of the runtime.
 *
 * A server that is down is a typed failure of the call and not a missing tool: its last known tools stay listed. A tool
 * whose definition is not the one that was approved is not offered, and a call of it fails, until it is approved again.
 */
import { Context, type Effect } from "effect"
import type { StorageError } from "../journal/StorageError.ts"
import type { ToolSource } from "../tools/ToolSource.ts"
import type {
  McpServer,
  McpServerNotFound,
  McpServerUnavailable,
  McpTool,
  McpToolChanged,
  McpToolNotFound
} from "./McpServer.ts"

export class McpServers extends Context.Service<
  McpServers,
  {
    /** Of all that are declared. */
    readonly names: ReadonlyArray<string>
    readonly list: Effect.Effect<ReadonlyArray<McpServer>>
    /** By name: usable ones, blocked ones, and the first of those that were refused. */
    readonly tools: (server: string) => Effect.Effect<ReadonlyArray<McpTool>, McpServerNotFound>
    /** Approves what the server says now, of one tool or of all; answers with the names that were blocked before. */
    readonly approve: (options: {
      readonly server: string
      readonly tool?: string | undefined
      /** The hash of the definition that a person has looked at, or the beginning of it: any other is refused. */
      readonly hash?: string | undefined
    }) => Effect.Effect<
      ReadonlyArray<string>,
      McpServerNotFound | McpServerUnavailable | McpToolNotFound | McpToolChanged | StorageError
    >
    /** Ends its life and begins another at once, whatever the breaker says. */
    readonly restart: (server: string) => Effect.Effect<void, McpServerNotFound>
    /** Their tools, for the set of all tools. */
    readonly source: ToolSource
  }
>()("espalier/mcp/McpServers") {}
