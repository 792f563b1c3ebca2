/**
 * One life of a server, as the body of its supervised child: started, shaken hands with, asked for its tools, and watched
 * until the connection is lost. That it is lost is a crash like any other, so it begins another life by the rules of its
 * supervisor.
 */
import { Cause, Effect, Option } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { McpApprovals } from "../../services/mcp/McpApprovals.ts"
import { adopt } from "./adopt.ts"
import * as Asked from "./Asked.ts"
import * as Connection from "./Connection.ts"
import * as HttpTransport from "./HttpTransport.ts"
import { ConnectionLost } from "./Link.ts"
import type { ServerState } from "./ServerState.ts"
import * as StdioTransport from "./StdioTransport.ts"

/** Between two pings of a server that has nothing to do. One at work is known by its work. */
const betweenPings = "30 seconds"
/** Changes of the list of tools that come together are one. */
const calm = "200 millis"
/** Names in an event. */
const maxNames = 20

export const tell = Effect.fnUntraced(function* (event: RuntimeEvent) {
  const bus = yield* EventBus
  yield* bus.publishSystem(Topic.mcp, [event])
})

const open = ({ config: { grants, name, transport } }: ServerState) =>
  transport.type === "stdio"
    ? StdioTransport.open(name, transport, grants.inherit ?? [])
    : HttpTransport.open(name, transport)

/** Takes over the tools there are now, and tells of those that are not as they were approved. */
const takeOver = Effect.fnUntraced(function* (state: ServerState, connection: Connection.Connection) {
  const approvals = yield* McpApprovals
  const looked = yield* connection.listTools
  const blocked = yield* adopt(state, approvals, looked).pipe(
    Effect.mapError(
      ({ message }) => new ConnectionLost({ reason: `what is approved of it cannot be kept: ${message}` })
    )
  )
  if (blocked.length === 0) return
  yield* Effect.logWarning(
    `MCP server ${state.name} has tools that are not as they were approved, and are blocked: ${blocked.slice(0, maxNames).join(", ")}`
  )
  yield* tell({ _tag: "McpToolsBlocked", server: state.name, tools: blocked.slice(0, maxNames) })
})

/** Where another life has begun already, because this one took its time to end, what is known is of that one. */
const isCurrent = (state: ServerState, life: number): boolean => state.lives === life

const disconnect = (state: ServerState, life: number): void => {
  if (!isCurrent(state, life)) return
  state.connection = undefined
  state.ready.closeUnsafe()
  state.state = "down"
}

const ended = Effect.fnUntraced(function* (state: ServerState, life: number, cause: Cause.Cause<unknown>) {
  disconnect(state, life)
  if (Cause.hasInterruptsOnly(cause) || !isCurrent(state, life)) return
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  state.lastError = error instanceof ConnectionLost ? error.reason : "it broke off; the log tells more"
  if (!(error instanceof ConnectionLost)) yield* Effect.logError(`MCP server ${state.name} broke off`, cause)
  // Whoever waits for a list of tools has waited long enough.
  state.settled.openUnsafe()
  yield* tell({ _tag: "McpServerDown", server: state.name, reason: state.lastError })
})

const live = (state: ServerState, version: string, life: number) =>
  Effect.gen(function* () {
    state.retryAt = undefined
    const link = yield* open(state)
    const asked = yield* Asked.make(state)
    const connection = yield* Connection.make(link, asked, version)
    yield* takeOver(state, connection)
    link.onLost(() => disconnect(state, life))
    state.connection = connection
    state.state = "ready"
    state.lastError = undefined
    state.ready.openUnsafe()
    const { protocol } = connection.identity
    yield* tell({ _tag: "McpServerReady", server: state.name, protocol, tools: state.plan.usable.length })

    const refresh = connection.toolsChanged.pipe(
      Effect.andThen(Effect.sleep(calm)),
      Effect.andThen(takeOver(state, connection)),
      Effect.forever
    )
    const pulse = Effect.sleep(betweenPings).pipe(
      Effect.andThen(Effect.suspend(() => (state.calls === 0 ? connection.ping : Effect.void))),
      Effect.forever
    )
    return yield* Effect.raceAllFirst([connection.lost, refresh, pulse])
  }).pipe(
    // Within the scope: that it is gone is told before its process has been waited for.
    Effect.onExit((exit) => (exit._tag === "Failure" ? ended(state, life, exit.cause) : Effect.void)),
    Effect.scoped
  )

/** Lives until the connection is lost, which is its failure. */
export const make = (state: ServerState, version: string) => Effect.suspend(() => live(state, version, ++state.lives))
