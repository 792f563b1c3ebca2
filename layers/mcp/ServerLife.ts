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
import type { Instance } from "./Instance.ts"
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

const open = ({ label, server, transport }: Instance) =>
  transport.type === "stdio"
    ? StdioTransport.open(label, transport, server.config.grants.inherit ?? [])
    : HttpTransport.open(label, transport)

/** Which server it is, and whose. */
export const whose = ({ server, sessionId }: Instance) => ({
  server: server.name,
  ...(sessionId === undefined ? undefined : { session: sessionId })
})

/** Takes over the tools there are now, and tells of those that are not as they were approved. */
const takeOver = Effect.fnUntraced(function* (instance: Instance, connection: Connection.Connection) {
  const approvals = yield* McpApprovals
  const looked = yield* connection.listTools
  const { server } = instance
  const blocked = yield* adopt(server, instance, approvals, looked).pipe(
    Effect.mapError(
      ({ message }) => new ConnectionLost({ reason: `what is approved of it cannot be kept: ${message}` })
    )
  )
  if (blocked.length === 0) return
  yield* Effect.logWarning(
    `MCP server ${instance.label} has tools that are not as they were approved, and are blocked: ${blocked.slice(0, maxNames).join(", ")}`
  )
  yield* tell({ _tag: "McpToolsBlocked", server: server.name, tools: blocked.slice(0, maxNames) })
})

/** Where another life has begun already, because this one took its time to end, what is known is of that one. */
const isCurrent = (instance: Instance, life: number): boolean => instance.lives === life

const disconnect = (instance: Instance, life: number): void => {
  if (!isCurrent(instance, life)) return
  instance.connection = undefined
  instance.ready.closeUnsafe()
  instance.state = "down"
}

const ended = Effect.fnUntraced(function* (instance: Instance, life: number, cause: Cause.Cause<unknown>) {
  disconnect(instance, life)
  if (Cause.hasInterruptsOnly(cause) || !isCurrent(instance, life)) return
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  instance.lastError = error instanceof ConnectionLost ? error.reason : "it broke off; the log tells more"
  if (!(error instanceof ConnectionLost)) yield* Effect.logError(`MCP server ${instance.label} broke off`, cause)
  // Whoever waits for a list of tools has waited long enough.
  instance.server.settled.openUnsafe()
  yield* tell({ _tag: "McpServerDown", ...whose(instance), reason: instance.lastError })
})

const live = (instance: Instance, version: string, life: number) =>
  Effect.gen(function* () {
    const { server } = instance
    instance.retryAt = undefined
    const link = yield* open(instance)
    const asked = yield* Asked.make(instance)
    const connection = yield* Connection.make(link, asked, version)
    yield* takeOver(instance, connection)
    link.onLost(() => disconnect(instance, life))
    instance.connection = connection
    instance.state = "ready"
    instance.lastError = undefined
    instance.ready.openUnsafe()
    const { protocol } = connection.identity
    yield* tell({ _tag: "McpServerReady", ...whose(instance), protocol, tools: server.plan.usable.length })

    const refresh = connection.toolsChanged.pipe(
      Effect.andThen(Effect.sleep(calm)),
      Effect.andThen(takeOver(instance, connection)),
      Effect.forever
    )
    const pulse = Effect.sleep(betweenPings).pipe(
      Effect.andThen(Effect.suspend(() => (instance.calls === 0 ? connection.ping : Effect.void))),
      Effect.forever
    )
    // Nobody calls one that was to be looked at, and that it has been.
    if (server.isOfSessions && instance.sessionId === undefined) instance.end("looked")
    return yield* Effect.raceAllFirst([connection.lost, refresh, pulse])
  }).pipe(
    // Within the scope: that it is gone is told before its process has been waited for.
    Effect.onExit((exit) => (exit._tag === "Failure" ? ended(instance, life, exit.cause) : Effect.void)),
    Effect.scoped
  )

/** Lives until the connection is lost, which is its failure. */
export const make = (instance: Instance, version: string) =>
  Effect.suspend(() => {
    if (++instance.lives > 1) instance.server.restarts++
    return live(instance, version, instance.lives)
  })
