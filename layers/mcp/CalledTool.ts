/** One tool of a server as the runtime runs it: checked, called, its progress passed on, its result tagged as data. */
import type { Progress } from "@modelcontextprotocol/sdk/types.js"
import { Duration, Effect, Queue, type Schema } from "effect"
import { failureOf, fromServer } from "../../services/mcp/callResult.ts"
import { McpServerUnavailable } from "../../services/mcp/McpServer.ts"
import type { ApprovedTool } from "../../services/mcp/planApproval.ts"
import { nameOf } from "../../services/mcp/toolNames.ts"
import { mcpPool } from "../../services/worker/PoolLimits.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { type Tool, ToolCall, ToolFailure } from "../../services/tools/Tool.ts"
import type { Connection } from "./Connection.ts"
import type { Caller } from "./Callers.ts"
import { defaultDeadline, type Instance } from "./Instance.ts"
import type { ServerState } from "./ServerState.ts"

/** For a server to become ready, when it is between two lives. */
const patience = "10 seconds"

const unavailableCode = "mcp_server_unavailable"

const failure = (code: string, message: string) => new ToolFailure({ code, message })

export const unavailable = ({ name }: ServerState, detail: string, retryAfter?: number) =>
  new ToolFailure({
    code: unavailableCode,
    message: new McpServerUnavailable({ name, detail }).message,
    ...(retryAfter === undefined ? {} : { retryAfter })
  })

/** The connection, waited for a little where it is about to come. */
const connected = (instance: Instance): Effect.Effect<Connection, ToolFailure> =>
  Effect.suspend(() => {
    if (instance.connection !== undefined) return Effect.succeed(instance.connection)
    const fail = Effect.suspend(() =>
      Effect.fail(unavailable(instance.server, instance.lastError ?? "it is still connecting"))
    )
    if (instance.state === "broken") return fail
    return Effect.raceFirst(instance.ready.await, instance.gaveUp.await).pipe(
      Effect.timeoutOption(patience),
      Effect.andThen(
        Effect.suspend(() => (instance.connection === undefined ? fail : Effect.succeed(instance.connection)))
      )
    )
  })

const isObject = (args: Schema.Json): args is Schema.JsonObject =>
  typeof args === "object" && args !== null && !Array.isArray(args)

const percentOf = ({ progress, total }: Progress): number =>
  total !== undefined && total > 0 ? (progress / total) * 100 : 0

/** One for each instance: that of one session may be unwell for reasons of its own. */
const breakerOf = ({ isOfSessions, name }: ServerState, sessionId: SessionId): string =>
  isOfSessions ? `mcp:${name}:${sessionId}` : `mcp:${name}`

/** That a server is not there counts for its breaker; that it refuses a call does not. */
const isUnwell = ({ code }: ToolFailure) => code === unavailableCode

export const make = (state: ServerState, definition: ApprovedTool): Tool => {
  const { grants } = state.config
  const name = nameOf(state.name, definition.name)
  const isGranted = grants.trust === true || grants.allow?.includes(definition.name) === true
  const issuesOf = (args: Schema.Json) =>
    isObject(args)
      ? (state.checks.get(definition.hash)?.(args) ?? [])
      : [{ path: "", message: "the arguments are an object" }]

  const call = Effect.fnUntraced(function* (args: Schema.JsonObject) {
    const { progress, sessionId } = yield* ToolCall
    const instance = yield* state.instanceOf(sessionId)
    yield* instance.inUse
    const connection = yield* connected(instance)
    // Only now: what the server says may have changed while it was waited for.
    const usable = instance.usable(definition.name)
    if (usable === "gone") {
      return yield* failure("mcp_tool_gone", `the MCP server "${state.name}" has no tool "${definition.name}" any more`)
    }
    if (usable === "blocked" || usable.hash !== definition.hash) {
      return yield* failure(
        "mcp_tool_blocked",
        `${name} is not what was approved; a person has to look at it: "espalier mcp tools ${state.name}", then "espalier mcp approve ${state.name} ${definition.name}"`
      )
    }
    const reports = yield* Queue.sliding<Progress>(16)
    let percent = 0
    yield* Queue.take(reports).pipe(
      Effect.flatMap((report) => {
        percent = percentOf(report)
        return progress(percent, report.message ?? "")
      }),
      Effect.forever,
      Effect.forkScoped
    )
    const sign = (stage: string) => Effect.suspend(() => progress(percent, stage))
    const caller: Caller = { sessionId, sign }
    const raw = yield* connection
      .call(definition.name, args, (report) => void Queue.offerUnsafe(reports, report))
      .pipe(
        Effect.mapError((error) => {
          switch (error._tag) {
            case "ConnectionLost":
              return unavailable(state, error.reason)
            case "Refused":
              return failure("mcp_server_busy", `the MCP server "${state.name}" was not asked: ${error.reason}`)
            // CallRefused
            default:
              return failure("mcp_call_refused", failureOf(state.name, definition.name, error.reason))
          }
        }),
        (calling) =>
          Effect.acquireUseRelease(
            Effect.sync(() => instance.callers.enter(caller)),
            () => calling,
            () => Effect.sync(() => instance.callers.leave(caller))
          )
      )
    const answer = fromServer(state.name, definition.name, raw)
    if (answer.isError) return yield* failure("mcp_tool_failed", answer.message)
    return answer.result
  }, Effect.scoped)

  return {
    name,
    server: state.name,
    description: definition.description,
    parameters: definition.inputSchema,
    annotations: {
      weight: "heavy",
      pool: mcpPool,
      // So that one server has no more of the pool than its share.
      key: state.name,
      // Of a tool that was granted nothing anything may be expected; its own hints are no evidence.
      classes: isGranted ? [] : ["exec", "network"],
      idempotent: grants.idempotent?.includes(definition.name) ?? false,
      needsPermission: !isGranted,
      deadline: grants.deadline ?? defaultDeadline,
      hardCap: grants.hardCap ?? Duration.hours(1)
    },
    check: (args) => Effect.sync(() => issuesOf(args)),
    run: (args) =>
      Effect.flatMap(ToolCall, ({ sessionId }) => {
        // They were checked, but a worker that waited over a restart may meet a schema that was approved since.
        const issues = issuesOf(args)
        return isObject(args) && issues.length === 0
          ? state.breakers.guard(breakerOf(state, sessionId), call(args), {
              isFailure: isUnwell,
              fallback: (refusal) => Effect.fail(unavailable(state, refusal.message, refusal.retryAfter))
            })
          : Effect.fail(
              failure(
                "invalid_input",
                `the arguments of ${name} do not fit: ${issues.map(({ message, path }) => `${path}: ${message}`).join("; ")}`
              )
            )
      }).pipe(Effect.withSpan("McpServers.call", { attributes: { server: state.name, tool: definition.name } }))
  }
}
