/** Everything around sessions: a journal that outlives the process, and processes that come and go. */
import { Context, Deferred, Effect, Layer, Schema, Stream } from "effect"
import type { LanguageModel } from "effect/ai"
import * as NoMcpServers from "../../layers/mcp/NoMcpServers.ts"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import * as OfflineModel from "../../layers/model/OfflineModel.ts"
import * as LocalSessionDesk from "../../layers/session/LocalSessionDesk.ts"
import * as LocalSessionManager from "../../layers/session/LocalSessionManager.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import * as Delegate from "../../layers/tools/Delegate.ts"
import * as ToolSet from "../../layers/tools/ToolSet.ts"
import * as BoundedWorkerPool from "../../layers/worker/BoundedWorkerPool.ts"
import * as TokenRateLimits from "../../layers/limits/TokenRateLimits.ts"
import * as MemoryRegistry from "../../layers/registry/MemoryRegistry.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import type { Recorded, RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { StorageUnavailable } from "../../services/journal/StorageError.ts"
import { type AgentType, AgentTypes } from "../../services/session/AgentType.ts"
import * as Compaction from "../../services/session/Compaction.ts"
import { SessionDesk } from "../../services/session/SessionDesk.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import * as Tool from "../../services/tools/Tool.ts"

/** What a test sees and steers. */
export class World {
  /** While true the journal refuses to write. */
  isStorageAway = false
  /** Runs before each append: a breath, as a real disk has. A test may wait here, or break. */
  beforeAppend: Effect.Effect<void> = Effect.yieldNow
  /** Names of the tools in the order they started to run. */
  readonly runs: Array<string> = []
  readonly #gates = new Map<string, Deferred.Deferred<string, Tool.ToolFailure>>()

  /** Tools whose name begins with `wait` run until their gate opens. */
  gate(name: string): Deferred.Deferred<string, Tool.ToolFailure> {
    let gate = this.#gates.get(name)
    if (gate === undefined) this.#gates.set(name, (gate = Deferred.makeUnsafe()))
    return gate
  }

  /** A process that dies forgets what its tools were doing. */
  forgetGates(): void {
    this.#gates.clear()
  }
}

export class SessionWorld extends Context.Service<SessionWorld, World>()("test/SessionWorld") {}

const journal = Layer.effect(
  Journal,
  Effect.gen(function* () {
    const world = yield* SessionWorld
    const memory = yield* MemoryJournal.make()
    return {
      ...memory,
      append: (appends) =>
        Effect.andThen(
          Effect.suspend(() => world.beforeAppend),
          Effect.suspend(() =>
            world.isStorageAway ? Effect.fail(new StorageUnavailable({ detail: "test" })) : memory.append(appends)
          )
        )
    }
  })
)

/** What stays when a process dies. */
export const layerDurable = Layer.provideMerge(
  journal,
  Layer.sync(SessionWorld, () => new World())
)

const tool = (name: string, options: Partial<Tool.Options<{ readonly text?: string }, string, never>> = {}) =>
  Effect.flatMap(SessionWorld, (world) =>
    Tool.make<{ readonly text?: string }, string, never>({
      name,
      description: `the test's ${name}`,
      parameters: Schema.Struct({ text: Schema.optionalKey(Schema.String) }),
      result: Schema.String,
      ...options,
      run: ({ text }) =>
        Effect.suspend(() => {
          world.runs.push(name)
          if (options.run !== undefined) return options.run({})
          return name.startsWith("wait") ? Deferred.await(world.gate(name)) : Effect.succeed(text ?? "")
        })
    })
  )

/** Asks the person of the session as an MCP server would, and says what it heard. */
const asks = (name: string, idempotent = false) =>
  Effect.flatMap(Effect.all([SessionDesk, SessionWorld]), ([desk, world]) =>
    Tool.make<{ readonly text?: string }, string, Tool.ToolCall>({
      name,
      description: "asks",
      parameters: Schema.Struct({ text: Schema.optionalKey(Schema.String) }),
      result: Schema.String,
      weight: "heavy",
      idempotent,
      deadline: "1 hour",
      run: ({ text = "which colour?" }) =>
        Effect.flatMap(Tool.ToolCall, ({ sessionId }) => {
          world.runs.push(name)
          return Effect.map(desk.ask({ sessionId, server: "paint", message: text, schema: colour }), (answer) =>
            JSON.stringify(answer)
          )
        })
    })
  )

export const colour = {
  type: "object",
  properties: {
    colour: { type: "string", enum: ["red", "green"] },
    coats: { type: "integer", minimum: 1, default: 2 }
  },
  required: ["colour"]
}

const toolSet = ToolSet.layer([
  asks("asks"),
  asks("asks_again", true),
  tool("echo", { idempotent: true }),
  tool("wait_once"),
  tool("wait_again", { idempotent: true }),
  tool("wait_heavy", { weight: "heavy", idempotent: true }),
  tool("wait_other", { weight: "heavy", idempotent: true }),
  tool("guarded", { needsPermission: true }),
  tool("shell", { classes: ["exec"] }),
  tool("wait_shell", { classes: ["exec"], weight: "heavy", idempotent: true }),
  tool("wait_write", { classes: ["write"], idempotent: true }),
  Delegate.make,
  tool("broken", { run: () => Effect.die(new Error("poisoned")) }),
  tool("failing", { run: () => Effect.fail(new Tool.ToolFailure({ code: "no_luck", message: "try another day" })) }),
  tool("silent", { run: () => Effect.never, deadline: "1 minute" })
])

export interface Options extends LocalSessionManager.Options {
  readonly model?: Layer.Layer<LanguageModel.LanguageModel> | undefined
  readonly pool?: BoundedWorkerPool.Options | undefined
  /** Tokens that a model is shown. */
  readonly tokens?: number | undefined
  readonly agentTypes?: ReadonlyArray<AgentType> | undefined
  readonly instructions?: Layer.Layer<never> | undefined
}

const tree = Layer.provide(RuntimeTree.layer, FiberSupervisor.layer)

/** What a process has of its own; closing it is the death of the process. */
export const layerProcess = ({
  agentTypes = [],
  budget,
  hibernateAfter = Infinity,
  instructions = Layer.empty,
  limit,
  model = OfflineModel.layer,
  pool,
  tokens = Compaction.TOKENS
}: Options = {}) =>
  LocalSessionManager.layer({ budget, hibernateAfter, limit }).pipe(
    Layer.provide([
      instructions,
      Layer.succeed(Compaction.Compaction, Compaction.within(tokens)),
      Layer.succeed(AgentTypes, new Map(agentTypes.map((type) => [type.name, type])))
    ]),
    Layer.provideMerge(BoundedWorkerPool.layer(pool).pipe(Layer.provide(TokenRateLimits.layer()))),
    Layer.provideMerge(Layer.mergeAll(toolSet, model, NoMcpServers.layer)),
    Layer.provideMerge(Layer.mergeAll(MemoryRegistry.layer, LocalSessionDesk.layer)),
    Layer.provideMerge(PubSubEventBus.layer()),
    Layer.provideMerge(tree)
  )

/** Runs in a process of its own, over the journal at hand. */
export const inProcess =
  (options?: Options) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provide(effect, layerProcess(options), { local: true })

/** All that is journaled of a session. */
export const eventsOf = (sessionId: SessionId) =>
  Effect.flatMap(Journal, (journal) => journal.read({ stream: Topic.ofSession(sessionId), after: 0, limit: 10_000 }))

export const tagsOf = (events: ReadonlyArray<Recorded>): ReadonlyArray<string> => events.map(({ event }) => event._tag)

/** The first event of a session, from the beginning, that fits. */
export const until = <E extends RuntimeEvent>(
  sessionId: SessionId,
  fits: (event: RuntimeEvent) => event is E
): Effect.Effect<E, never, EventBus> =>
  Effect.flatMap(EventBus, (bus) =>
    bus.subscribe({ topic: Topic.ofSession(sessionId), from: 1 }).pipe(
      Stream.filter((delivery) => delivery._tag === "Event"),
      Stream.map(({ event }) => event),
      Stream.filter(fits),
      Stream.runHead,
      Effect.orDie,
      Effect.flatMap((found) => Effect.orDie(Effect.fromOption(found)))
    )
  )

export const is =
  <Tag extends RuntimeEvent["_tag"]>(tag: Tag) =>
  (event: RuntimeEvent): event is Extract<RuntimeEvent, { readonly _tag: Tag }> =>
    event._tag === tag
