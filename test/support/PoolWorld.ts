/** Everything around a worker pool, by hand: tools that do what a test says, and a record of all that happened. */
import { Context, Deferred, Duration, Effect, Layer, type Schema } from "effect"
import * as TokenRateLimits from "../../layers/limits/TokenRateLimits.ts"
import * as MemoryRegistry from "../../layers/registry/MemoryRegistry.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { StorageFull } from "../../services/journal/StorageError.ts"
import { CallId, SessionId } from "../../services/session/SessionId.ts"
import type { Annotations, Tool, ToolCall, ToolFailure } from "../../services/tools/Tool.ts"
import { ToolNotFound, Tools } from "../../services/tools/Tools.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import type { Task } from "../../services/worker/WorkerPool.ts"

type Program = Effect.Effect<Schema.Json, ToolFailure, ToolCall>

/** What the tests of a pool can see and steer. It outlives the pool, as a disk outlives a process. */
export class World {
  readonly published: Array<Recorded> = []
  /** Names in the order they started to run. */
  readonly starts: Array<string> = []
  running = 0
  mostRunning = 0
  /** While true the journal refuses to write. */
  isDiskFull = false
  private readonly programs = new Map<string, Program>()
  private readonly gates = new Map<string, Deferred.Deferred<Schema.Json, ToolFailure>>()
  private readonly tools = new Map<string, Tool>()
  private calls = 0

  constructor() {
    this.addTool("again", { idempotent: true })
    this.addTool("once", {})
  }

  addTool(name: string, annotations: Partial<Annotations>): Tool {
    const tool: Tool = {
      name,
      description: name,
      parameters: {},
      annotations: {
        weight: "heavy",
        idempotent: false,
        classes: ["read"],
        needsPermission: false,
        deadline: Duration.seconds(300),
        hardCap: Duration.hours(1),
        ...annotations
      },
      check: () => Effect.succeed([]),
      run: (args) =>
        Effect.suspend(() => {
          const task = typeof args === "string" ? args : JSON.stringify(args)
          this.starts.push(task)
          this.running++
          this.mostRunning = Math.max(this.mostRunning, this.running)
          return Effect.ensuring(
            this.programs.get(task) ?? Deferred.await(this.gate(task)),
            Effect.sync(() => this.running--)
          )
        })
    }
    this.tools.set(name, tool)
    return tool
  }

  removeTool(name: string) {
    this.tools.delete(name)
  }

  /** Says what the task of this name does. Without a program it runs until it is finished or broken. */
  program(task: string, program: Program) {
    this.programs.set(task, program)
  }

  finish(task: string, result: Schema.Json = "done") {
    return Deferred.succeed(this.gate(task), result)
  }

  break(task: string, failure: ToolFailure) {
    return Deferred.fail(this.gate(task), failure)
  }

  task(name: string, { session = "one", tool = "once" }: { session?: string; tool?: string } = {}): Task {
    const found = this.tools.get(tool)
    if (found === undefined) throw new Error(`no tool ${tool}`)
    return {
      sessionId: SessionId.make(`ses_${session}`),
      callId: CallId.make(`call_${this.calls++}`),
      tool: found,
      args: name
    }
  }

  /** Names of a worker's published events, in order. */
  eventsOf(workerId: WorkerId): ReadonlyArray<string> {
    return this.published.flatMap(({ event, topic }) => (topic === `worker:${workerId}` ? [event._tag] : []))
  }

  private gate(task: string): Deferred.Deferred<Schema.Json, ToolFailure> {
    let gate = this.gates.get(task)
    if (gate === undefined) this.gates.set(task, (gate = Deferred.makeUnsafe()))
    return gate
  }

  get toolsService(): Tools["Service"] {
    return {
      get: (name) =>
        Effect.suspend(() => {
          const tool = this.tools.get(name)
          return tool === undefined
            ? Effect.fail(new ToolNotFound({ name, available: [...this.tools.keys()] }))
            : Effect.succeed(tool)
        }),
      list: Effect.sync(() => [...this.tools.values()])
    }
  }

  get busService(): EventBus["Service"] {
    return {
      publish: (events) => Effect.sync(() => void this.published.push(...events)),
      publishEphemeral: () => Effect.void,
      publishSystem: (topic, events) =>
        Effect.sync(() =>
          events.forEach((event) => this.published.push({ topic, sequence: this.published.length + 1, at: 0, event }))
        ),
      subscribe: () => {
        throw new Error("nobody subscribes here")
      },
      open: () => Effect.die("nobody subscribes here"),
      stats: () => Effect.succeed([])
    }
  }
}

export class PoolWorld extends Context.Service<PoolWorld, World>()("test/PoolWorld") {}

/** The journal of the world, with a disk that can be full. */
const journal = Layer.effect(
  Journal,
  Effect.gen(function* () {
    const world = yield* PoolWorld
    const memory = yield* MemoryJournal.make()
    return {
      ...memory,
      append: (appends) =>
        // A breath before the write, as a real disk has.
        Effect.andThen(
          Effect.yieldNow,
          Effect.suspend(() =>
            world.isDiskFull ? Effect.fail(new StorageFull({ detail: "test" })) : memory.append(appends)
          )
        )
    }
  })
)

/** What stays when a process dies. */
export const layerDurable = Layer.provideMerge(
  journal,
  Layer.sync(PoolWorld, () => new World())
)

const surroundings = Layer.mergeAll(
  Layer.effect(
    Tools,
    PoolWorld.use((world) => Effect.succeed(world.toolsService))
  ),
  Layer.effect(
    EventBus,
    PoolWorld.use((world) => Effect.succeed(world.busService))
  )
)

/** What a process has of its own. */
export const layerProcess = Layer.merge(MemoryRegistry.layer, TokenRateLimits.layer()).pipe(
  Layer.provideMerge(Layer.provide(RuntimeTree.layer, FiberSupervisor.layer)),
  Layer.provideMerge(surroundings)
)
