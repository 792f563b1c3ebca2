/**
 * The gateway's operations over the contracts of the runtime. Nothing is decided here: each operation asks the room
 * that knows. What breaks in one becomes `InternalError`, with the cause in the log under the same id.
 */
import { Cause, Duration, Effect, Stream } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import { inPieces } from "../../services/events/weigh.ts"
import { GatewayRpcs } from "../../services/gateway/GatewayRpcs.ts"
import type { InternalError } from "../../services/gateway/InternalError.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import { Models } from "../../services/model/Models.ts"
import { AgentMessages } from "../../services/registry/AgentMessage.ts"
import { Breakers } from "../../services/limits/Breakers.ts"
import { refusalOf } from "../../services/limits/toolLimits.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Chaos } from "../../services/supervision/Chaos.ts"
import { Root } from "../../services/supervision/Places.ts"
import { watchTree } from "../../services/supervision/watchTree.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import { type ToolDescription, Tools } from "../../services/tools/Tools.ts"
import { defaultPool } from "../../services/worker/PoolLimits.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { report } from "./Guard.ts"
import * as knownTopic from "./knownTopic.ts"

/** Length of a page when none is asked for. */
const page = 100

const broke =
  (subject: string) =>
  (cause: Cause.Cause<unknown>): Effect.Effect<never, InternalError> =>
    Effect.flatMap(report(subject, cause), (error) => Effect.fail(error))

/** Turns a defect of one operation into its `InternalError`; typed failures and interruption pass. */
const contained =
  (subject: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | InternalError, R> =>
    Effect.catchCauseIf(effect, Cause.hasDies, broke(subject))

/** Characters of events in one message of a subscription, where one event is not longer by itself. */
const piece = 256 * 1024

const describe = ({ annotations, description, name, parameters }: Tool): ToolDescription => ({
  name,
  description,
  parameters,
  weight: annotations.weight,
  idempotent: annotations.idempotent,
  classes: annotations.classes,
  needsPermission: annotations.needsPermission,
  deadline: Duration.toMillis(annotations.deadline),
  ...(annotations.weight === "heavy" && { pool: annotations.pool ?? defaultPool })
})

export const make = Effect.gen(function* () {
  const sessions = yield* SessionManager
  const pool = yield* WorkerPool
  const tools = yield* Tools
  const breakers = yield* Breakers
  const bus = yield* EventBus
  const known = yield* knownTopic.make
  const registry = yield* Registry
  const messages = yield* AgentMessages
  const root = yield* Root
  const chaos = yield* Chaos
  const mcp = yield* McpServers
  const models = yield* Models

  return GatewayRpcs.of({
    StartSession: (options) => contained("StartSession")(sessions.start(options)),
    StopSession: ({ reason, sessionId }) => contained("StopSession")(sessions.stop(sessionId, reason)),
    GetSession: ({ sessionId }) => contained("GetSession")(sessions.get(sessionId)),
    ListSessions: ({ before, limit, parent }) =>
      contained("ListSessions")(sessions.list({ before, parent, limit: limit ?? page })),
    SendMessage: (options) => contained("SendMessage")(sessions.send(options)),
    CancelTurn: ({ sessionId }) => contained("CancelTurn")(sessions.cancelTurn(sessionId)),
    ListPermissions: ({ sessionId }) => contained("ListPermissions")(sessions.permissions(sessionId)),
    ResolvePermission: (reply) => contained("ResolvePermission")(sessions.resolvePermission(reply)),
    ListQuestions: ({ sessionId }) => contained("ListQuestions")(sessions.questions(sessionId)),
    AnswerQuestion: (reply) => contained("AnswerQuestion")(sessions.answerQuestion(reply)),
    UpdateSession: ({ metadata, sessionId, title }) =>
      contained("UpdateSession")(sessions.update(sessionId, { title, metadata })),
    GetMessages: ({ after, limit, sessionId }) =>
      contained("GetMessages")(sessions.messages({ sessionId, after: after ?? 0, limit: limit ?? page })),

    ListModels: () => Effect.succeed(models),
    ListTools: () => contained("ListTools")(Effect.map(tools.list, (all) => all.map(describe))),
    RunTool: (options) =>
      contained("RunTool")(
        sessions
          .runTool(options)
          .pipe(Effect.catchTag("ToolFailure", (failure) => Effect.fail(refusalOf(options.tool, failure) ?? failure)))
      ),

    GetWorker: ({ workerId }) => contained("GetWorker")(pool.get(workerId)),
    ListWorkers: (query) => contained("ListWorkers")(pool.list({ ...query, limit: query.limit ?? page })),
    CancelWorker: ({ workerId }) => contained("CancelWorker")(pool.cancel(workerId, "cancelled by request")),

    Subscribe: (subscription, { client }) =>
      Stream.unwrap(
        Effect.as(known(subscription.topic), bus.subscribe({ ...subscription, connection: `rpc ${client.id}` }))
      ).pipe(
        Stream.chunks,
        Stream.flatMap((chunk) => Stream.rechunk(Stream.fromIterable(inPieces(chunk, piece)), 1)),
        Stream.flattenArray,
        Stream.catchCauseIf(Cause.hasDies, (cause) => Stream.fromEffect(broke("Subscribe")(cause)))
      ),

    TopicStats: ({ limit, topic }) => contained("TopicStats")(bus.stats({ topic, limit: limit ?? page })),

    PoolStatus: () => contained("PoolStatus")(pool.status),
    ResizePool: ({ pool: name, ...size }) => contained("ResizePool")(pool.resize(name, size)),
    PausePool: ({ pool: name }) => contained("PausePool")(pool.pause(name)),
    ResumePool: ({ pool: name }) => contained("ResumePool")(pool.resume(name)),
    DrainPool: ({ pool: name }) => contained("DrainPool")(pool.drain(name)),
    SupervisionTree: () => contained("SupervisionTree")(root.tree),
    WatchTree: () => watchTree(contained("WatchTree")(root.tree)),
    KillChild: ({ path }) => contained("KillChild")(chaos.kill(path)),
    FindAgents: ({ limit, ...query }) => contained("FindAgents")(registry.find({ ...query, limit: limit ?? page })),
    WatchAgents: (query) =>
      Stream.catchCauseIf(registry.watch({ ...query, limit: query.limit ?? page }), Cause.hasDies, (cause) =>
        Stream.fromEffect(broke("WatchAgents")(cause))
      ),
    GetAgent: ({ key }) => contained("GetAgent")(registry.lookup(key)),
    SendAgentMessage: ({ route, to, ...letter }) =>
      contained("SendAgentMessage")(to === undefined ? messages.route(route ?? {}, letter) : messages.send(to, letter)),
    BroadcastAgentMessage: ({ to, ...letter }) => contained("BroadcastAgentMessage")(messages.broadcast(to, letter)),
    ListBreakers: () => contained("ListBreakers")(breakers.list),

    McpServers: () => contained("McpServers")(mcp.list),
    McpTools: ({ server }) => contained("McpTools")(mcp.tools(server)),
    ApproveMcpTools: (options) => contained("ApproveMcpTools")(mcp.approve(options)),
    RestartMcpServer: ({ server }) => contained("RestartMcpServer")(mcp.restart(server))
  })
})

export const layer = GatewayRpcs.toLayer(make)
