/** What happens to MCP servers and their tools, published on `system:mcp`. */
import { Schema } from "effect"

const server = { server: Schema.String }
const tools = { ...server, tools: Schema.Array(Schema.String) }

export const McpEvent = Schema.TaggedUnion({
  McpServerReady: { ...server, protocol: Schema.String, tools: Schema.Int },
  McpServerDown: { ...server, reason: Schema.String },
  /** Crashed more often than its intensity allows; `retryIn` is in milliseconds. */
  McpServerBroken: { ...server, reason: Schema.String, retryIn: Schema.Int },
  /** The first names of each. */
  McpToolsBlocked: tools,
  McpToolsApproved: tools
})
export type McpEvent = typeof McpEvent.Type
