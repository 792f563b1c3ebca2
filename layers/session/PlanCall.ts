/** Looks at a call that a model asks for: what cannot be run is refused in words the model can act on. */
import { Clock, Effect, Result, Schema } from "effect"
import { isSeen } from "../../services/mcp/seenServers.ts"
import { EXPIRY, generatePermissionId, hashOf } from "../../services/permission/Permission.ts"
import { decidePermission } from "../../services/permission/Rules.ts"
import type { RequestedCall } from "../../services/session/decide.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import { type CallId, generateCallId } from "../../services/session/SessionId.ts"
import type { SessionState } from "../../services/session/SessionState.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import type { Tools } from "../../services/tools/Tools.ts"
import type { WantedCall } from "./ModelRound.ts"
import { failed } from "./ToolRunner.ts"

/** Calls of one round; further ones are refused. */
export const MAX_CALLS = 64
/** Characters of a name that a model made up. */
const MAX_NAME = 200

/** A call of a step, looked at before anything is journaled. */
export type PlannedCall = {
  readonly callId: CallId
  readonly tool: string
  readonly args: Schema.Json
} & (
  | { readonly refused: ToolOutcome }
  | {
      readonly refused?: undefined
      readonly runs: Tool
      /** A person has to allow it first. */
      readonly asks?: RequestedCall["asks"]
    }
)

/** For whom a call is looked at. */
export type Asker = Pick<SessionState, "id" | "owner" | "permission" | "mcpServers">

const isJson = Schema.is(Schema.Json)

export const plan = Effect.fnUntraced(function* (
  tools: Tools["Service"],
  { id, mcpServers, owner, permission }: Asker,
  { name: wanted, params }: WantedCall,
  index: number
): Effect.fn.Return<PlannedCall> {
  const name = wanted.slice(0, MAX_NAME)
  const call = { callId: yield* generateCallId, tool: name, args: isJson(params) ? params : null }
  const refuse = (code: string, message: string): PlannedCall => ({ ...call, refused: failed(code, message) })
  if (index >= MAX_CALLS) return refuse("too_many_calls", `at most ${MAX_CALLS} tools may be called at once`)
  const found = yield* Effect.result(tools.get(name))
  if (Result.isFailure(found)) return refuse("tool_not_found", found.failure.message)
  const tool = found.success
  if (!isSeen(tool, mcpServers)) {
    return refuse("tool_not_found", `this session does not see the MCP server of ${name}; do without it`)
  }
  const issues = isJson(params) ? yield* tool.check(params) : [{ path: "", message: "the arguments are not JSON" }]
  if (issues.length > 0) {
    const reasons = issues.map(({ message, path }) => (path === "" ? message : `${path}: ${message}`))
    return refuse("invalid_input", `the arguments of ${name} do not fit: ${reasons.join("; ")}`)
  }
  const { needsPermission } = tool.annotations
  const classes = tool.classesOf?.(call.args) ?? tool.annotations.classes
  const question = { tool: name, classes, needsPermission }
  const decision = decidePermission(question, permission.rules, "attended")
  if (decision === "allow") return { ...call, runs: tool }
  if (decision === "deny") return refuse("permission_denied", `${name} is not allowed here; do without it`)
  if (permission.mode === "unattended") {
    return refuse("permission_required", `a person has to allow ${name}, and nobody can be asked; do without it`)
  }
  const permissionId = yield* generatePermissionId
  const hash = yield* hashOf(owner, id, { ...call, permissionId })
  const expiresAt = (yield* Clock.currentTimeMillis) + EXPIRY
  return { ...call, runs: tool, asks: { permissionId, classes, hash, expiresAt } }
})
