/**
 * `McpServers` as children of the runtime's tree:
 *
 * ```
 * workers
 * └─ mcp                 rest_for_one
 *    ├─ servers          dynamic: one child per declared server, its restarts counted by itself
 *    └─ keeper           starts them, and tries those again that have been given up on
 * ```
 *
 * A server that crashes is started again after a pause that grows. One that crashes more often than its intensity allows
 * stays down, and the breaker is open: nothing of it is tried until a longer pause is over or a person says so.
 */
import { Clock, Deferred, Duration, Effect, Layer } from "effect"
import type { EventBus } from "../../services/events/EventBus.ts"
import { Breakers } from "../../services/limits/Breakers.ts"
import { McpApprovals } from "../../services/mcp/McpApprovals.ts"
import type { McpServerConfig } from "../../services/mcp/McpConfig.ts"
import type { McpQuestions } from "../../services/mcp/McpQuestions.ts"
import { McpServerNotFound, McpServerUnavailable, McpToolNotFound } from "../../services/mcp/McpServer.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import { prefixOf } from "../../services/mcp/toolNames.ts"
import { type ChildSpec, dynamicSupervisor } from "../../services/supervision/ChildSpec.ts"
import type { Backoff } from "../../services/supervision/planBackoff.ts"
import { Workers } from "../../services/supervision/Places.ts"
import type { SupervisorRef } from "../../services/supervision/Supervisor.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import type { Processes } from "../../services/processes/Processes.ts"
import { approve, recall } from "./adopt.ts"
import * as ServerLife from "./ServerLife.ts"
import { ServerState } from "./ServerState.ts"

export interface Options {
  readonly servers: ReadonlyArray<McpServerConfig>
  /** Of this runtime, as servers are told. */
  readonly version: string
  /** Restarts of one server within a period that are borne (default 5 in a minute). */
  readonly intensity?: number | undefined
  readonly period?: Duration.Input | undefined
  /** Pauses before restarts that come one after the other (default 200 milliseconds, doubled up to 10 seconds). */
  readonly backoff?: Backoff | undefined
}

const place = "mcp"
const defaultBackoff: Backoff = { initial: "200 millis", cap: "10 seconds" }
/** The breaker's first pause, and its longest. */
const openFor = { first: 30_000, longest: 600_000 } as const
/** For a server that was never seen, before tools are listed without it: longer than its handshake may take. */
const firstSight = "25 seconds"
/** For a child to stop: what the process wrapper takes to kill, and the end of a session over HTTP. */
const shutdown = "12 seconds"

const make = Effect.fnUntraced(function* ({
  backoff = defaultBackoff,
  intensity = 5,
  period = "1 minute",
  servers,
  version
}: Options) {
  const approvals = yield* McpApprovals
  const breakers = yield* Breakers
  const context = yield* Effect.context<EventBus | McpApprovals | McpQuestions | Processes>()
  const approved = yield* approvals.load
  const states = new Map(
    servers.map((config) => [config.name, new ServerState(config, approved.get(config.name), breakers)])
  )
  const byPrefix = new Map([...states.values()].map((state) => [prefixOf(state.name), state]))
  for (const state of states.values()) yield* recall(state)

  const gaveUp = Effect.fnUntraced(function* (state: ServerState, pause: number) {
    state.state = "broken"
    state.retryAt = (yield* Clock.currentTimeMillis) + pause
    state.settled.openUnsafe()
    const reason = state.lastError ?? "it does not stay up"
    yield* Effect.logWarning(
      `MCP server ${state.name} is given up on for ${Duration.format(Duration.millis(pause))}: ${reason}`
    )
    yield* Effect.provide(
      ServerLife.tell({ _tag: "McpServerBroken", server: state.name, reason, retryIn: pause }),
      context
    )
  })

  const childOf = (state: ServerState): ChildSpec => ({
    id: state.name,
    start: Effect.succeed(Effect.provide(ServerLife.make(state, version), context)),
    backoff,
    shutdown,
    onGiveUp: () => Effect.sync(() => state.gaveUp.openUnsafe()),
    mailbox: Effect.sync(() => state.calls)
  })

  /** Keeps one server among the children, through the breaker's pauses and a person's wishes. */
  const keep = (state: ServerState, supervisor: Effect.Effect<SupervisorRef>) =>
    Effect.gen(function* () {
      let pause: number = openFor.first
      while (true) {
        const children = yield* supervisor
        const startedAt = yield* Clock.currentTimeMillis
        // One that a keeper before this one has started is as good.
        yield* Effect.ignore(children.startChild(childOf(state)))
        yield* Effect.raceFirst(state.gaveUp.await, state.again.await)
        if (state.gaveUp.isOpen()) {
          const lived = (yield* Clock.currentTimeMillis) - startedAt
          pause = lived > 2 * openFor.longest ? openFor.first : pause
          yield* gaveUp(state, pause)
          yield* Effect.raceFirst(Effect.sleep(pause), state.again.await)
          pause = Math.min(openFor.longest, pause * 2)
        }
        yield* Effect.ignore(children.terminateChild(state.name))
        state.gaveUp.closeUnsafe()
        state.again.closeUnsafe()
        state.state = "connecting"
        state.retryAt = undefined
      }
    })

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
              {
                id: "keeper",
                start: Effect.succeed(
                  Effect.forEach([...states.values()], (state) => keep(state, children), {
                    concurrency: states.size,
                    discard: true
                  })
                )
              }
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
      if (state.connection === undefined) {
        return yield* new McpServerUnavailable({ name: server, detail: state.lastError ?? "it is still connecting" })
      }
      if (tool !== undefined && state.usable(tool) === "gone") return yield* new McpToolNotFound({ server, tool })
      const names = yield* approve(state, approvals, { tool, hash })
      if (names.length > 0) {
        const event = { _tag: "McpToolsApproved", server, tools: names.slice(0, 20) } as const
        yield* Effect.provide(ServerLife.tell(event), context)
      }
      return names
    }),
    restart: (server) => Effect.map(find(server), (state) => void state.again.openUnsafe()),
    source: {
      find: (name) => byPrefix.get(name.slice(0, name.indexOf("__")))?.tools.get(name),
      list: Effect.suspend(() =>
        Effect.forEach(states.values(), (state) => state.settled.await, { discard: true })
      ).pipe(Effect.timeoutOption(firstSight), Effect.andThen(Effect.sync(allOffered)))
    }
  })
})

export const layer = (options: Options) => Layer.effect(McpServers, make(options))
