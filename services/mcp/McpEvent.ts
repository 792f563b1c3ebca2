/** What happens to MCP servers and their tools, published on `system:mcp`. */
import { Schema } from "effect"
import { SessionId } from "../session/SessionId.ts"

const server = { server: Schema.String }
/** Of a server that each session has one of: whose it is. */
const life = { ...server, session: Schema.optionalKey(SessionId) }
const tools = { ...server, tools: Schema.Array(Schema.String) }

export const McpEvent = Schema.TaggedUnion({
  McpServerReady: { ...life, protocol: Schema.String, tools: Schema.Int },
  McpServerDown: { ...life, reason: Schema.String },
  /** Crashed more often than its intensity allows; `retryIn` is in milliseconds. */
  McpServerBroken: { ...life, reason: Schema.String, retryIn: Schema.Int },
  /** One of a session has been stopped, for that session has ended or sleeps, or had nothing for it to do. */
  McpServerStopped: { ...server, session: SessionId, reason: Schema.Literals(["ended", "hibernated", "idle"]) },
  /** The first names of each. */
  McpToolsBlocked: tools,
  McpToolsApproved: tools
})
export type McpEvent = typeof McpEvent.Type
