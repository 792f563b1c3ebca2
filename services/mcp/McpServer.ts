/** An MCP server and its tools as they can be looked at, and what can be wrong with them. */
import { Schema } from "effect"
import { SessionId } from "../session/SessionId.ts"

/**
 * `connecting` until it has answered for the first time in its life; `ready` while it answers; `down` between two of its
 * lives; `broken` once it has crashed more often than its intensity allows, until the breaker lets it try again.
 */
export const McpServerState = Schema.Literals(["connecting", "ready", "down", "broken"])
export type McpServerState = typeof McpServerState.Type

/** One of a server that each session has one of. */
export const McpInstance = Schema.Struct({
  session: SessionId,
  state: McpServerState,
  restarts: Schema.Int,
  calls: Schema.Int,
  lastError: Schema.optionalKey(Schema.String),
  retryAt: Schema.optionalKey(Schema.Int)
})
export type McpInstance = typeof McpInstance.Type

export const McpServer = Schema.Struct({
  name: Schema.String,
  /** `session`: each session that uses it has one of its own, and it is `ready` once its tools are known. */
  scope: Schema.Literals(["shared", "session"]),
  /** Those that sessions have now. */
  instances: Schema.Array(McpInstance),
  transport: Schema.Literals(["stdio", "http"]),
  state: McpServerState,
  /** What the server calls itself, and the version of MCP that was agreed on; while it is ready. */
  identity: Schema.optionalKey(Schema.Struct({ name: Schema.String, version: Schema.String, protocol: Schema.String })),
  /** Tools that may be used, its last known ones while it is not ready. */
  tools: Schema.Int,
  /** Tools that wait for approval. */
  blocked: Schema.Int,
  /** Tools whose definition cannot be used. */
  refused: Schema.Int,
  /** Times it was started again. */
  restarts: Schema.Int,
  /** Calls under way. */
  calls: Schema.Int,
  /** Why it is not ready, or why its last life ended. */
  lastError: Schema.optionalKey(Schema.String),
  /** Unix time in milliseconds at which a broken one is tried again. */
  retryAt: Schema.optionalKey(Schema.Int)
})
export type McpServer = typeof McpServer.Type

export const McpTool = Schema.Struct({
  server: Schema.String,
  /** Its name on the server. */
  tool: Schema.String,
  /** Its name for models and people; empty for one that was refused. */
  name: Schema.String,
  /**
   * `changed` and `new` tools are blocked until they are approved; `unavailable` ones were approved, but the server is
   * not there or does not have them now; `refused` ones cannot be used.
   */
  state: Schema.Literals(["usable", "changed", "new", "unavailable", "refused"]),
  description: Schema.String,
  /** Of its definition. */
  hash: Schema.String,
  /** Why it was refused. */
  reason: Schema.optionalKey(Schema.String)
})
export type McpTool = typeof McpTool.Type

/** No server of that name is declared. */
export class McpServerNotFound extends Schema.TaggedError<McpServerNotFound>()("McpServerNotFound", {
  name: Schema.String,
  declared: Schema.Array(Schema.String)
}) {
  override get message() {
    return this.declared.length === 0
      ? `there is no MCP server "${this.name}"; none is declared`
      : `there is no MCP server "${this.name}"; there are ${this.declared.join(", ")}`
  }
}

/** The server is declared and does not answer. Its tools stay listed; a call may succeed later. */
export class McpServerUnavailable extends Schema.TaggedError<McpServerUnavailable>()("McpServerUnavailable", {
  name: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `the MCP server "${this.name}" is not available (${this.detail}); try again later, or see "espalier mcp list"`
  }
}

/** The server has no such tool that waits for approval. */
export class McpToolNotFound extends Schema.TaggedError<McpToolNotFound>()("McpToolNotFound", {
  server: Schema.String,
  tool: Schema.String
}) {
  override get message() {
    return `the MCP server "${this.server}" has no tool "${this.tool}" now; see "espalier mcp tools ${this.server}"`
  }
}

/** The tool is not as it was when it was looked at. Nothing was approved. */
export class McpToolChanged extends Schema.TaggedError<McpToolChanged>()("McpToolChanged", {
  server: Schema.String,
  tool: Schema.String,
  /** Of the definition that it has now. */
  hash: Schema.String
}) {
  override get message() {
    return `the tool "${this.tool}" of "${this.server}" is not the one you have looked at (its hash is ${this.hash.slice(0, 12)} now); nothing was approved: see "espalier mcp tools ${this.server}"`
  }
}
