/**
 * What is known of one declared server, over all its lives: whether it can be called, which of its tools may be used, and
 * what it was last heard to have. The fibers that work on it are its supervised child and the keeper.
 */
import { Duration, Effect, Latch, Semaphore } from "effect"
import type { Breakers } from "../../services/limits/Breakers.ts"
import type { McpServer, McpServerState, McpTool } from "../../services/mcp/McpServer.ts"
import type { McpServerConfig } from "../../services/mcp/McpConfig.ts"
import { type Approved, type ApprovedTool, type Plan, planApproval } from "../../services/mcp/planApproval.ts"
import type { Looked } from "../../services/mcp/ToolDefinition.ts"
import { nameOf } from "../../services/mcp/toolNames.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import type { Check } from "./ArgumentChecks.ts"
import type { Connection } from "./Connection.ts"

/** One call under way. */
export interface Caller {
  readonly sessionId: SessionId
  /** That it waits for somebody else, as a sign of life. */
  readonly sign: (stage: string) => Effect.Effect<void>
}

/** Sessions whose calls were cut off that are remembered. */
const maxCutOff = 100

/** The longest silence of a call. */
export const defaultDeadline = Duration.seconds(300)

const none: Plan = { usable: [], blocked: [], gone: [], firstSight: undefined }

export class ServerState {
  readonly config: McpServerConfig
  /** In front of its calls. */
  readonly breakers: Breakers["Service"]
  state: McpServerState = "connecting"
  connection: Connection | undefined
  lastError: string | undefined
  lives = 0
  retryAt: number | undefined
  /** Open while it is ready. */
  readonly ready = Latch.makeUnsafe(false)
  /** Opens once its tools are known, or it is known that they are not: listings wait for that, and only once. */
  readonly settled = Latch.makeUnsafe(false)
  /** Opens when its child has been given up on. */
  readonly gaveUp = Latch.makeUnsafe(false)
  /** Opens when a person wants another life of it. */
  readonly again = Latch.makeUnsafe(false)
  /** Calls under way, by the session that they are made for. */
  readonly callers = new Map<SessionId, Set<Caller>>()
  /** When a call of a session was last cut off: the newest last, and as many as may matter. */
  readonly cutOff = new Map<SessionId, number>()
  /** Who waits until a session has none. */
  readonly #leaving = new Map<SessionId, Set<() => void>>()
  calls = 0

  /** One change of what is known of its tools at a time: what it says, and what a person approves. */
  readonly changing = Semaphore.makeUnsafe(1)
  approved: Approved | undefined
  plan: Plan = none
  readonly #standing = new Map<string, ApprovedTool | "blocked">()
  looked: Looked = { tools: [], refused: [], refusedCount: 0 }
  /** By the hash of the definition: compiled once, whatever happens to the connection. */
  checks = new Map<string, Check>()
  /** All that were ever approved or seen, by the name that models use. */
  tools: ReadonlyMap<string, Tool> = new Map()
  /** Those that are offered, by name. */
  offered: ReadonlyArray<Tool> = []

  constructor(config: McpServerConfig, approved: Approved | undefined, breakers: Breakers["Service"]) {
    this.config = config
    this.breakers = breakers
    this.approved = approved
    if (approved !== undefined) {
      this.follow(planApproval(approved, [...approved.values()]))
      this.settled.openUnsafe()
    }
  }

  get name(): string {
    return this.config.name
  }

  /** The definition that may be used now, or why none may. */
  usable(tool: string): ApprovedTool | "blocked" | "gone" {
    return this.#standing.get(tool) ?? "gone"
  }

  /** What holds from now on. */
  follow(plan: Plan): void {
    this.plan = plan
    this.#standing.clear()
    for (const { tool } of plan.blocked) this.#standing.set(tool.name, "blocked")
    for (const tool of plan.usable) this.#standing.set(tool.name, tool)
  }

  enter(caller: Caller): void {
    this.calls++
    const others = this.callers.get(caller.sessionId)
    if (others === undefined) this.callers.set(caller.sessionId, new Set([caller]))
    else others.add(caller)
  }

  /** `cutAt`: it was cut off then, before the server had answered. */
  leave(caller: Caller, cutAt?: number): void {
    const { sessionId } = caller
    if (cutAt !== undefined) this.#remember(sessionId, cutAt)
    const left = this.callers.get(sessionId)
    if (left?.delete(caller) !== true) return
    this.calls--
    if (left.size > 0) return
    this.callers.delete(sessionId)
    const waiting = this.#leaving.get(sessionId)
    this.#leaving.delete(sessionId)
    for (const resume of waiting ?? []) resume()
  }

  #remember(sessionId: SessionId, at: number): void {
    this.cutOff.delete(sessionId)
    this.cutOff.set(sessionId, at)
    const [oldest] = this.cutOff.keys()
    if (oldest !== undefined && this.cutOff.size > maxCutOff) this.cutOff.delete(oldest)
  }

  /** Returns when the session has no call under way. */
  left(sessionId: SessionId): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (!this.callers.has(sessionId)) return resume(Effect.void)
      const waiting = this.#leaving.get(sessionId) ?? new Set()
      const done = () => resume(Effect.void)
      this.#leaving.set(sessionId, waiting.add(done))
      return Effect.sync(() => {
        waiting.delete(done)
        if (waiting.size === 0 && this.#leaving.get(sessionId) === waiting) this.#leaving.delete(sessionId)
      })
    })
  }

  /** Keeps the calls of a session alive for as long as it runs: it is not they that are silent. */
  keepAlive(sessionId: SessionId, stage: string): Effect.Effect<never> {
    const pause = Duration.times(this.config.grants.deadline ?? defaultDeadline, 1 / 3)
    const signs = Effect.suspend(() =>
      Effect.forEach([...(this.callers.get(sessionId) ?? [])], ({ sign }) => sign(stage), { discard: true })
    )
    return Effect.forever(Effect.andThen(signs, Effect.sleep(pause)))
  }

  describe(): McpServer {
    return {
      name: this.name,
      transport: this.config.transport.type,
      state: this.state,
      ...(this.connection === undefined ? {} : { identity: this.connection.identity }),
      tools: this.plan.usable.length,
      blocked: this.plan.blocked.length,
      refused: this.looked.refusedCount,
      restarts: Math.max(0, this.lives - 1),
      calls: this.calls,
      ...(this.lastError === undefined ? {} : { lastError: this.lastError }),
      ...(this.retryAt === undefined ? {} : { retryAt: this.retryAt })
    }
  }

  describeTools(): ReadonlyArray<McpTool> {
    const of = (tool: ApprovedTool, state: McpTool["state"]): McpTool => ({
      server: this.name,
      tool: tool.name,
      name: nameOf(this.name, tool.name),
      state,
      description: tool.description,
      hash: tool.hash
    })
    const { blocked, gone, usable } = this.plan
    return [
      ...usable.map((tool) => of(tool, this.state === "ready" ? "usable" : "unavailable")),
      ...blocked.map(({ reason, tool }) => of(tool, reason)),
      ...gone.map((tool) => of(tool, "unavailable")),
      ...this.looked.refused.map(({ name, reason }): McpTool => ({
        server: this.name,
        tool: name,
        name: "",
        state: "refused",
        description: "",
        hash: "",
        reason
      }))
    ].sort((a, b) => (a.tool < b.tool ? -1 : 1))
  }
}
