/**
 * The instances of servers that each session has one of: begun with a session's first call, so many at a time and no more,
 * each told whose it is.
 */
import { Clock, Effect, Result } from "effect"
import { forSession } from "../../services/mcp/sessionVariables.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionRecords } from "../../services/session/SessionRecords.ts"
import { ToolFailure } from "../../services/tools/Tool.ts"
import { unavailable } from "./CalledTool.ts"
import { Instance } from "./Instance.ts"
import type { ServerState } from "./ServerState.ts"

export interface Options {
  /** At a time, of all servers together. */
  readonly limit: number
  /** Has one run; `from` is the first event of its session that has not been looked at. */
  readonly start: (instance: Instance, from: number) => void
}

const tooMany = (limit: number) =>
  new ToolFailure({
    code: "mcp_too_many_instances",
    message: `${limit} MCP servers of sessions run, which is all there may be; try again when a session has ended or sleeps, or set ESPALIER_MCP_INSTANCES higher`
  })

export const make = Effect.fnUntraced(function* ({ limit, start }: Options) {
  const records = yield* SessionRecords
  let count = 0

  const begin = Effect.fnUntraced(function* (server: ServerState, sessionId: SessionId) {
    const stored = yield* Effect.mapError(records.read(sessionId), ({ message }) => unavailable(server, message))
    const now = yield* Clock.currentTimeMillis
    // Somebody else was faster.
    const other = server.instances.get(sessionId)
    if (other !== undefined) return other
    if (stored?.isEnded === true) return yield* unavailable(server, `session ${sessionId} has ended`)
    const transport = forSession(server.config.transport, { id: sessionId, directory: stored?.directory })
    if (Result.isFailure(transport)) {
      return yield* new ToolFailure({
        code: "mcp_no_directory",
        message: `the MCP server "${server.name}" cannot be started: ${transport.failure}`
      })
    }
    if (count >= limit) return yield* tooMany(limit)
    const instance = new Instance(server, `${server.name} ${sessionId}`, transport.success, sessionId)
    instance.usedAt = now
    count++
    server.instances.set(sessionId, instance)
    start(instance, (stored?.sequence ?? 0) + 1)
    return instance
  })

  /** The session's own. One on its way out is waited for: its next one has nothing of it. */
  const of = (server: ServerState, sessionId: SessionId): Effect.Effect<Instance, ToolFailure> =>
    Effect.suspend(() => {
      const found = server.instances.get(sessionId)
      if (found === undefined) return begin(server, sessionId)
      return found.over.isOpen() ? Effect.andThen(found.gone.await, of(server, sessionId)) : Effect.succeed(found)
    })

  const forget = ({ server, sessionId }: Instance): void => {
    if (sessionId !== undefined && server.instances.delete(sessionId)) count--
  }

  return { of, forget }
})
