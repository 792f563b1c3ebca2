/**
 * The runtime put together: which layer stands for which contract is decided here and nowhere else.
 *
 * Every part can be replaced by a layer of one's own; the others find it by its contract.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { type Duration, Effect, Layer, type Scope } from "effect"
import type { LanguageModel } from "effect/ai"
import { isReadonlyArrayNonEmpty } from "effect/Array"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as Monitor from "../../layers/health/Monitor.ts"
import * as NodeEventLoop from "../../layers/health/NodeEventLoop.ts"
import * as FileDataDirectory from "../../layers/journal/DataDirectory.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import * as Upkeep from "../../layers/maintenance/Upkeep.ts"
import * as GuardedTools from "../../layers/limits/GuardedTools.ts"
import * as PersistenceBreakers from "../../layers/limits/PersistenceBreakers.ts"
import * as TokenRateLimits from "../../layers/limits/TokenRateLimits.ts"
import * as ConfiguredModel from "../../layers/model/ConfiguredModel.ts"
import * as OfflineModel from "../../layers/model/OfflineModel.ts"
import * as ResilientModel from "../../layers/model/ResilientModel.ts"
import * as FileMcpApprovals from "../../layers/mcp/FileMcpApprovals.ts"
import * as MemoryMcpApprovals from "../../layers/mcp/MemoryMcpApprovals.ts"
import * as NoMcpServers from "../../layers/mcp/NoMcpServers.ts"
import * as SessionMcpQuestions from "../../layers/mcp/SessionMcpQuestions.ts"
import * as LocalAgentMessages from "../../layers/registry/LocalAgentMessages.ts"
import * as MemoryRegistry from "../../layers/registry/MemoryRegistry.ts"
import * as RegistryRouter from "../../layers/registry/RegistryRouter.ts"
import * as AgentsFile from "../../layers/session/AgentsFile.ts"
import * as JournaledSessionRecords from "../../layers/session/JournaledSessionRecords.ts"
import * as LocalSessionDesk from "../../layers/session/LocalSessionDesk.ts"
import * as LocalSessionManager from "../../layers/session/LocalSessionManager.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as PublishedSupervisionEvents from "../../layers/supervision/PublishedSupervisionEvents.ts"
import * as QueuedSupervisionEvents from "../../layers/supervision/QueuedSupervisionEvents.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import * as TreeChaos from "../../layers/supervision/TreeChaos.ts"
import * as BuiltInTools from "../../layers/tools/BuiltInTools.ts"
import * as ReapedProcesses from "../../layers/processes/ReapedProcesses.ts"
import * as ToolkitTools from "../../layers/tools/ToolkitTools.ts"
import * as ToolSet from "../../layers/tools/ToolSet.ts"
import * as BoundedWorkerPool from "../../layers/worker/BoundedWorkerPool.ts"
import type { EventBus } from "../../services/events/EventBus.ts"
import type { Journal } from "../../services/journal/Journal.ts"
import type { DataDirectoryBusy, StorageError, StorageNewer } from "../../services/journal/StorageError.ts"
import type { McpApprovals } from "../../services/mcp/McpApprovals.ts"
import type { McpServerConfig, McpServerDeclarations } from "../../services/mcp/McpConfig.ts"
import type { McpQuestions } from "../../services/mcp/McpQuestions.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import type { Rate, RateLimits } from "../../services/limits/RateLimits.ts"
import type { Retention } from "../../services/maintenance/Retention.ts"
import { type Limits as ModelTimes, ModelLimits } from "../../services/model/ModelLimits.ts"
import { Models, Prices } from "../../services/model/Models.ts"
import { ModelSight } from "../../services/model/ModelSight.ts"
import type { ModelSettings } from "../../services/model/ModelSettings.ts"
import type { Registry } from "../../services/registry/Registry.ts"
import { type AgentType, AgentTypes } from "../../services/session/AgentType.ts"
import * as Compaction from "../../services/session/Compaction.ts"
import type { SessionDesk } from "../../services/session/SessionDesk.ts"
import type * as Budget from "../../services/session/Budget.ts"
import type { Foundation, ToolExecutors, Workers } from "../../services/supervision/Places.ts"
import type { Processes } from "../../services/processes/Processes.ts"
import type { Supervisor } from "../../services/supervision/Supervisor.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import type { Tools } from "../../services/tools/Tools.ts"
import { maxPermits, mcpPool, type PoolOptions, type Pools, resolvePools } from "../../services/worker/PoolLimits.ts"
import type { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { version } from "../version.ts"
import { InvalidConfig } from "./InvalidConfig.ts"
import { readServers } from "./McpConfigFile.ts"

/** Why a runtime may not start. */
export type StartError = StorageError | StorageNewer | DataDirectoryBusy | InvalidConfig

/** Layers of one's own, each in place of the runtime's. */
export interface Parts {
  readonly supervisor?: Layer.Layer<Supervisor> | undefined
  readonly eventBus?: Layer.Layer<EventBus, StartError, Journal | Foundation> | undefined
  readonly registry?: Layer.Layer<Registry, StartError, Foundation> | undefined
  /** What answers. It is asked again when it fails before it has begun, and given up when it falls silent. */
  readonly model?: Layer.Layer<LanguageModel.LanguageModel, StartError> | undefined
  /** Who answers what MCP servers ask while their tools run. */
  readonly mcpQuestions?: Layer.Layer<McpQuestions, StartError, LanguageModel.LanguageModel | SessionDesk> | undefined
  /** Where it is kept which tools of MCP servers were approved. */
  readonly mcpApprovals?: Layer.Layer<McpApprovals, StartError> | undefined
  readonly workerPool?:
    | Layer.Layer<WorkerPool, StartError, Tools | Registry | EventBus | Journal | RateLimits | Workers | ToolExecutors>
    | undefined
}

export interface McpLimits {
  /** Calls of their tools under way at a time, a quarter of them for one server (default 64). */
  readonly permits?: number | undefined
  /** Calls that may wait, a quarter of them for one server (default 1,000). */
  readonly queue?: number | undefined
  /** Servers of sessions that run at a time, all together (default 32). */
  readonly instances?: number | undefined
}

export interface Options extends Parts {
  /** Workers of the pool `tools` that run at a time (default 3). */
  readonly permits?: number | undefined
  /** Tasks that may wait for one (default 50). */
  readonly queue?: number | undefined
  /** How long a task may wait (default 30 seconds). */
  readonly patience?: Duration.Input | undefined
  /** Pools by name: more of one's own, and more to say of `tools`, `cpu`, `exports` and `mcp`. */
  readonly pools?: Pools | undefined
  /** How much of MCP servers runs at a time. */
  readonly mcp?: McpLimits | undefined
  /** How often one session may call tools, all of them together (default: as often as it likes). */
  readonly toolRate?: Rate | undefined
  /** When a dependency that fails is left alone, and for how long (default: after 5 failures, for 1 s to 1 min). */
  readonly breakers?: PersistenceBreakers.Options | undefined
  /** Sessions in memory at the same time (default 100,000). */
  readonly sessions?: number | undefined
  /** What a session and each of its turns may use up at most (default 50 rounds of tool calls, depth 3). */
  readonly budget?: Budget.Limits | undefined
  /** Tokens of a conversation that a model is shown (default 100,000). */
  readonly contextTokens?: number | undefined
  /** How a conversation is made to fit, in place of the runtime's own way. */
  readonly compaction?: Compaction.Strategy | undefined
  /** Kinds of agents, with what they are told and may do. */
  readonly agentTypes?: ReadonlyArray<AgentType> | undefined
  /** How long a session is idle before it leaves memory (default 5 minutes). */
  readonly hibernateAfter?: Duration.Input | undefined
  /** Whether parts of the tree may be crashed on purpose, by `Chaos` (default no). */
  readonly chaos?: boolean | undefined
  /** Without a `model` of one's own: the one that answers, and those that stand in for it (default none). */
  readonly models?: ReadonlyArray<ModelSettings> | undefined
  /** How long a model may be silent and take (default 30 seconds and 10 minutes). */
  readonly modelLimits?: ModelTimes | undefined
  /**
   * Whether the model can see, and is shown the pictures that tools answer with (default: whether all `models` are of
   * OpenAI or Anthropic themselves).
   */
  readonly modelPictures?: boolean | undefined
  /** Requests under way at a provider of models (default 64). */
  readonly modelConcurrency?: number | undefined
  /** How often a provider of models is asked; beyond it requests wait (default: as often as it takes). */
  readonly modelRate?: Rate | undefined
  /** What is let go of once it is old (default nothing). */
  readonly retention?: Retention | undefined
  /** MCP servers, as the `mcpServers` of a `.mcp.json` declares them; their tools stand beside all others. */
  readonly mcpServers?: McpServerDeclarations | ReadonlyArray<McpServerConfig> | undefined
  /** Tools besides the built-in ones, as `Tool.make` makes them. */
  readonly tools?: ReadonlyArray<Effect.Effect<Tool, never, Journal | EventBus | Processes>> | undefined
  /** Toolkits of `effect/ai` with their handlers: `toolkit(MyToolkit, MyToolkit.toLayer({ … }))`. */
  readonly toolkits?: ReadonlyArray<Effect.Effect<ReadonlyArray<Tool>, never, Scope.Scope>> | undefined
}

/** The tools of a toolkit, for `toolkits`. */
export const toolkit = ToolkitTools.make

const toolSet = ({ toolkits = [], tools = [] }: Options, scratch: string) =>
  Layer.unwrap(
    Effect.map(Effect.all(toolkits), (lists) =>
      ToolSet.layer(
        [...BuiltInTools.tools({ scratch }), ...tools, ...lists.flat().map((tool) => Effect.succeed(tool))],
        McpServers.use(({ source }) => Effect.succeed([source]))
      )
    )
  )

const model = ({ model, modelConcurrency: concurrency, modelRate: rate, models = [] }: Options) => {
  if (model !== undefined) {
    return ResilientModel.layer({ provider: "own", name: "own", concurrency, rate }).pipe(Layer.provide(model))
  }
  return isReadonlyArrayNonEmpty(models) ? ConfiguredModel.layer({ models, concurrency, rate }) : OfflineModel.layer
}

const named = ({ model, models = [] }: Options) =>
  Layer.succeed(Models, model === undefined ? models.map(({ name }) => name) : ["own"])

const prices = ({ model, models = [] }: Options) =>
  Layer.succeed(Prices, model === undefined ? models.flatMap(({ price }) => price ?? []) : [])

const limits = ({ modelLimits }: Options) =>
  modelLimits === undefined ? Layer.empty : Layer.succeed(ModelLimits, modelLimits)

/** Providers whose models see, at their own addresses. */
const seeing: ReadonlyArray<string> = ["openai", "anthropic"]

const sight = ({ model, modelPictures, models = [] }: Options) => {
  const isSeeing = ({ provider, url }: ModelSettings) => seeing.includes(provider) && url === undefined
  const byDefault = model === undefined && models.length > 0 && models.every(isSeeing)
  return Layer.succeed(ModelSight, modelPictures ?? byDefault)
}

/** The declared MCP servers. */
const mcp = ({ mcp: { instances } = {}, mcpServers = [] }: Options, scratch: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const servers = yield* readServers(mcpServers)
      if (servers.length === 0) return NoMcpServers.layer
      // The SDK of MCP takes 30 MB, which whoever declares no server does not pay.
      const { layer } = yield* Effect.promise(() => import("../../layers/mcp/SupervisedMcpServers.ts"))
      return Layer.provide(layer({ servers, version, instances, scratch }), JournaledSessionRecords.layer)
    })
  )

/** The pool of MCP servers: none has more of it than a quarter, so that one that hangs leaves room for the others. */
const mcpPoolOf = ({ permits = 64, queue = 1_000 }: McpLimits, given: PoolOptions = {}): PoolOptions => {
  const all = { permits, queue, apart: true, ...given }
  const share = { running: quarter(all.permits ?? permits), queued: quarter(all.queue ?? queue) }
  return { ...all, perKey: { ...share, ...given.perKey } }
}

const quarter = (of: number): number => Math.max(1, Math.floor(of / 4))

/** The pools there are: `cpu` runs as many as there are processors, `exports` one at a time. */
export const poolsOf = ({
  mcp = {},
  patience,
  permits,
  pools,
  queue
}: Pick<Options, "permits" | "queue" | "patience" | "pools" | "mcp">): Pools => ({
  ...pools,
  tools: { permits, queue, patience, ...pools?.["tools"] },
  cpu: { permits: Math.min(maxPermits, availableParallelism()), ...pools?.["cpu"] },
  exports: { permits: 1, ...pools?.["exports"] },
  [mcpPool]: mcpPoolOf(mcp, pools?.[mcpPool])
})

const pool = (options: Options) =>
  Layer.unwrap(
    Effect.suspend(() => {
      const pools = poolsOf(options)
      const { issues } = resolvePools(pools)
      return issues.length === 0
        ? Effect.succeed(BoundedWorkerPool.layer({ pools }))
        : Effect.fail(InvalidConfig.fromIssues("pools", issues))
    })
  )

/** Everything but the journal, and the directory for what tools write while they work. */
const rooms = <E, R>(options: Options, scratch: string, approvals: Layer.Layer<McpApprovals, E, R>) => {
  const approved: Layer.Layer<McpApprovals, E | StartError, R> = options.mcpApprovals ?? approvals
  const tools = GuardedTools.layer({ rate: options.toolRate }).pipe(Layer.provide(toolSet(options, scratch)))
  return Layer.mergeAll(Monitor.layer(), Upkeep.layer({ scratch, retention: options.retention })).pipe(
    Layer.provideMerge(LocalAgentMessages.layer),
    Layer.provideMerge(
      LocalSessionManager.layer({
        limit: options.sessions,
        budget: options.budget,
        hibernateAfter: options.hibernateAfter
      })
    ),
    Layer.provide([
      AgentsFile.layer,
      Layer.succeed(
        Compaction.Compaction,
        options.compaction ?? Compaction.within(options.contextTokens ?? Compaction.TOKENS)
      ),
      Layer.succeed(AgentTypes, new Map((options.agentTypes ?? []).map((type) => [type.name, type])))
    ]),
    Layer.provideMerge(options.workerPool ?? pool(options)),
    Layer.provideMerge(tools),
    Layer.provideMerge(mcp(options, scratch)),
    Layer.provide(approved),
    Layer.provide(options.mcpQuestions ?? SessionMcpQuestions.layer),
    Layer.provide(LocalSessionDesk.layer),
    // For programs that have a question of their own, under the same limits as the sessions.
    Layer.provideMerge(model(options)),
    Layer.provide([limits(options), sight(options), prices(options)]),
    Layer.provide(ReapedProcesses.layer),
    Layer.merge(named(options)),
    Layer.provideMerge(RegistryRouter.layer),
    Layer.provideMerge(Layer.mergeAll(PersistenceBreakers.layer(options.breakers), TokenRateLimits.layer())),
    Layer.provideMerge(options.registry ?? MemoryRegistry.layer),
    Layer.provideMerge(PublishedSupervisionEvents.layer),
    Layer.provideMerge(options.eventBus ?? PubSubEventBus.layer()),
    Layer.provide([NodeFileSystem.layer, NodePath.layer, NodeEventLoop.layer])
  )
}

/** The supervision tree that every part hangs on, and the feed of what happens in it. */
const tree = ({ chaos = false, supervisor = FiberSupervisor.layer }: Options) =>
  (chaos ? TreeChaos.layer : TreeChaos.layerRefused).pipe(
    Layer.provideMerge(RuntimeTree.layer),
    Layer.provide(supervisor),
    Layer.provideMerge(QueuedSupervisionEvents.layer())
  )

/** A runtime that keeps everything in a data directory of its own. */
export const layer = ({ dataDirectory, ...options }: Options & { readonly dataDirectory: string }) =>
  rooms(options, join(dataDirectory, "scratch"), FileMcpApprovals.layer).pipe(
    Layer.provideMerge(SqlJournal.layer),
    Layer.provide(FileDataDirectory.layer(dataDirectory)),
    Layer.provideMerge(tree(options))
  )

/** A runtime over a journal of one's own, or, without one, over memory: what it did is gone with it. */
export const layerMemory = ({
  journal = MemoryJournal.layer(),
  ...options
}: Options & { readonly journal?: Layer.Layer<Journal, StartError, Foundation> } = {}) =>
  rooms(options, join(tmpdir(), "espalier"), MemoryMcpApprovals.layer).pipe(
    Layer.provideMerge(journal),
    Layer.provideMerge(tree(options))
  )
