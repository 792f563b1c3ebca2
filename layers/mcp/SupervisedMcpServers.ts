/**
 * `McpServers` as children of the runtime's tree:
 *
 * ```
 * workers
 * └─ mcp                 rest_for_one
 *    ├─ servers          dynamic: a child for each shared server and for each one of a session, restarts counted for each
 *    └─ keeper           starts them, stops those of sessions, and tries those again that have been given up on
 * ```
 *
 * A server that crashes is started again after a pause that grows. One that crashes more often than its intensity allows
 * stays down, and the breaker is open: nothing of it is tried until a longer pause is over or a person says so.
 *
 * A server of sessions begins with a session's first call. Before that it is looked at once for its tools, unless they
 * were approved before: in a directory with nothing in it, and for nobody.
 */
import { Deferred, type Duration, Effect, Layer, Result } from "effect"
import { mkdtemp, mkdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { EventBus } from "../../services/events/EventBus.ts"
import { Breakers } from "../../services/limits/Breakers.ts"
import { McpApprovals } from "../../services/mcp/McpApprovals.ts"
import type { McpServerConfig } from "../../services/mcp/McpConfig.ts"
import type { McpQuestions } from "../../services/mcp/McpQuestions.ts"
import { McpServerNotFound, McpServerUnavailable, McpToolNotFound } from "../../services/mcp/McpServer.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import { forSession } from "../../services/mcp/sessionVariables.ts"
import { prefixOf } from "../../services/mcp/toolNames.ts"
import type { Processes } from "../../services/processes/Processes.ts"
import { type ChildSpec, dynamicSupervisor } from "../../services/supervision/ChildSpec.ts"
import type { Backoff } from "../../services/supervision/planBackoff.ts"
import { Workers } from "../../services/supervision/Places.ts"
import type { SupervisorRef } from "../../services/supervision/Supervisor.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import { approve, recall } from "./adopt.ts"
import { Instance } from "./Instance.ts"
import * as Keeper from "./Keeper.ts"
import * as ServerLife from "./ServerLife.ts"
import { ServerState } from "./ServerState.ts"
import * as SessionInstances from "./SessionInstances.ts"

export interface Options {
  readonly servers: ReadonlyArray<McpServerConfig>
  /** Of this runtime, as servers are told. */
  readonly version: string
  /** Restarts of one server within a period that are borne (default 5 in a minute). */
  readonly intensity?: number | undefined
  readonly period?: Duration.Input | undefined
  /** Pauses before restarts that come one after the other (default 200 milliseconds, doubled up to 10 seconds). */
  readonly backoff?: Backoff | undefined
  /** Servers of sessions that run at a time, all together (default 32). */
  readonly instances?: number | undefined
  /** Where the directory is made in which they are looked at (default that of the system for temporary files). */
  readonly scratch?: string | undefined
}

const place = "mcp"
const defaultBackoff: Backoff = { initial: "200 millis", cap: "10 seconds" }
/** For a server that was never seen, before tools are listed without it: longer than its handshake may take. */
const firstSight = "25 seconds"
/** For a child to stop: what the process wrapper takes to kill, and the end of a session over HTTP. */
const shutdown = "12 seconds"

/** A directory with nothing in it, until the scope closes. */
const emptyDirectory = (parent: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      await mkdir(parent, { recursive: true })
      return mkdtemp(join(parent, "mcp-look-"))
    }),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }).catch(() => undefined))
  )

const make = Effect.fnUntraced(function* ({
  backoff = defaultBackoff,
  instances = 32,
  intensity = 5,
  period = "1 minute",
  scratch = tmpdir(),
  servers,
  version
}: Options) {
  const approvals = yield* McpApprovals
  const breakers = yield* Breakers
  const context = yield* Effect.context<EventBus | McpApprovals | McpQuestions | Processes>()
  const approved = yield* approvals.load
  const childOf = (instance: Instance): ChildSpec => ({
    id: instance.id,
    start: Effect.succeed(Effect.provide(ServerLife.make(instance, version), context)),
    backoff,
    shutdown,
    onGiveUp: () => Effect.sync(() => instance.gaveUp.openUnsafe()),
    mailbox: Effect.sync(() => instance.calls)
  })
  const keeper = Keeper.make(childOf, (instance) => {
    if (instance.server.main === instance) instance.server.main = undefined
    ofSessions.forget(instance)
  })
  const ofSessions = yield* SessionInstances.make({ limit: instances, start: keeper.start })
  const states = new Map(
    servers.map((config) => [config.name, new ServerState(config, approved.get(config.name), breakers, ofSessions.of)])
  )
  const byPrefix = new Map([...states.values()].map((state) => [prefixOf(state.name), state]))

  const isAnyOfSessions = [...states.values()].some(({ isOfSessions }) => isOfSessions)
  const nowhere = isAnyOfSessions ? yield* emptyDirectory(scratch) : scratch
  /** What a server of sessions says of its tools. */
  const look = (server: ServerState): void => {
    const transport = forSession(server.config.transport, { id: undefined, directory: nowhere })
    server.main = new Instance(
      server,
      server.name,
      Result.getOrElse(transport, () => server.config.transport)
    )
    keeper.start(server.main)
  }

  for (const state of states.values()) {
    yield* recall(state)
    if (state.main !== undefined) keeper.start(state.main)
    else if (state.approved === undefined) look(state)
  }

  const workers = yield* Workers
  if (states.size > 0) {
    yield* Effect.acquireRelease(
      Effect.gen(function* () {
        // The keeper begins before there is a reference to its supervisor.
        const started = yield* Deferred.make<SupervisorRef>()
        const children = Effect.flatMap(Deferred.await(started), (mcp) => Effect.orDie(mcp.getSupervisor("servers")))
        const mcp = yield* Effect.orDie(
          workers.startSupervisor({
            id: place,
            strategy: "rest_for_one",
            children: [
              dynamicSupervisor({ id: "servers", intensityPer: "child", intensity, period }),
              { id: "keeper", start: Effect.succeed(Effect.provide(keeper.body(children), context)) }
            ]
          })
        )
        yield* Deferred.succeed(started, mcp)
      }),
      () => Effect.ignore(Effect.andThen(workers.terminateChild(place), workers.deleteChild(place)))
    )
  }

  const find = (name: string): Effect.Effect<ServerState, McpServerNotFound> =>
    Effect.suspend(() => {
      const state = states.get(name)
      return state === undefined
        ? Effect.fail(new McpServerNotFound({ name, declared: [...states.keys()] }))
        : Effect.succeed(state)
    })

  let offered: ReadonlyArray<Tool> = []
  let offeredFrom: ReadonlyArray<ReadonlyArray<Tool>> = []
  const allOffered = (): ReadonlyArray<Tool> => {
    const lists = [...states.values()].map((state) => state.offered)
    if (lists.some((list, i) => list !== offeredFrom[i])) {
      offeredFrom = lists
      offered = lists.flat()
    }
    return offered
  }

  return McpServers.of({
    names: [...states.keys()],
    list: Effect.sync(() => [...states.values()].map((state) => state.describe())),
    tools: (server) => Effect.map(find(server), (state) => state.describeTools()),
    approve: Effect.fn("McpServers.approve")(function* ({ hash, server, tool }) {
      const state = yield* find(server)
      if (!state.isHeard) {
        const detail =
          state.main?.lastError ?? (state.isOfSessions ? "no session has used it yet" : "it is still connecting")
        return yield* new McpServerUnavailable({ name: server, detail })
      }
      if (tool !== undefined && state.usable(tool) === "gone") return yield* new McpToolNotFound({ server, tool })
      const names = yield* approve(state, approvals, { tool, hash })
      if (names.length > 0) {
        const event = { _tag: "McpToolsApproved", server, tools: names.slice(0, 20) } as const
        yield* Effect.provide(ServerLife.tell(event), context)
      }
      return names
    }),
    restart: (server) =>
      Effect.map(find(server), (state) => {
        for (const instance of state.instances.values()) instance.again.openUnsafe()
        if (state.main === undefined) look(state)
        else state.main.again.openUnsafe()
      }),
    source: {
      find: (name) => byPrefix.get(name.slice(0, name.indexOf("__")))?.tools.get(name),
      list: Effect.suspend(() =>
        Effect.forEach(states.values(), (state) => state.settled.await, { discard: true })
      ).pipe(Effect.timeoutOption(firstSight), Effect.andThen(Effect.sync(allOffered)))
    }
  })
})

export const layer = (options: Options) => Layer.effect(McpServers, make(options))
