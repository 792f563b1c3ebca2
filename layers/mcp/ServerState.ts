/**
 * What is known of one declared server: which of its tools may be used, what it was last heard to have, and what of it
 * runs. That is one instance for all, or for a server of sessions one for each session that uses it and none before.
 */
import { Effect, Latch, Semaphore } from "effect"
import type { Breakers } from "../../services/limits/Breakers.ts"
import type { McpServer, McpTool } from "../../services/mcp/McpServer.ts"
import type { McpServerConfig } from "../../services/mcp/McpConfig.ts"
import { type Approved, type ApprovedTool, type Plan, planApproval } from "../../services/mcp/planApproval.ts"
import type { Looked } from "../../services/mcp/ToolDefinition.ts"
import { nameOf } from "../../services/mcp/toolNames.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import type { Tool, ToolFailure } from "../../services/tools/Tool.ts"
import type { Check } from "../../services/tools/argumentChecks.ts"
import { Instance } from "./Instance.ts"

/** The one of a session, which begins with its first call. */
export type OfSession = (server: ServerState, sessionId: SessionId) => Effect.Effect<Instance, ToolFailure>

const none: Plan = { usable: [], blocked: [], gone: [], firstSight: undefined }

export class ServerState {
  readonly config: McpServerConfig
  /** In front of its calls. */
  readonly breakers: Breakers["Service"]
  /** The one for all; of a server of sessions the one that is looked at, while it is. */
  main: Instance | undefined
  /** Those of sessions. */
  readonly instances = new Map<SessionId, Instance>()
  /** Opens once its tools are known, or it is known that they are not: listings wait for that, and only once. */
  readonly settled = Latch.makeUnsafe(false)
  /** Lives that began anew, of instances that are gone too. */
  restarts = 0

  /** One change of what is known of its tools at a time: what it says, and what a person approves. */
  readonly changing = Semaphore.makeUnsafe(1)
  approved: Approved | undefined
  plan: Plan = none
  readonly #standing = new Map<string, ApprovedTool | "blocked">()
  looked: Looked = { tools: [], refused: [], refusedCount: 0 }
  /** Hashes of what it said last: one that says the same again changes nothing. */
  said: string | undefined
  /** The same by name, for all instances that say so. */
  shown: ReadonlyMap<string, ApprovedTool> = new Map()
  /** By the hash of the definition, of all that is approved or was seen last: compiled once, whoever shows it. */
  checks = new Map<string, Check>()
  /** All that were ever approved or seen, by the name that models use. */
  tools: ReadonlyMap<string, Tool> = new Map()
  /** Those that are offered, by name. */
  offered: ReadonlyArray<Tool> = []

  /** Where the calls of a session go to. */
  readonly instanceOf: (sessionId: SessionId) => Effect.Effect<Instance, ToolFailure>

  constructor(
    config: McpServerConfig,
    approved: Approved | undefined,
    breakers: Breakers["Service"],
    ofSession: OfSession
  ) {
    this.config = config
    this.breakers = breakers
    this.approved = approved
    if (this.isOfSessions) this.instanceOf = (sessionId) => ofSession(this, sessionId)
    else {
      const main = new Instance(this, config.name, config.transport)
      this.main = main
      this.instanceOf = () => Effect.succeed(main)
    }
    if (approved !== undefined) {
      this.follow(planApproval(approved, [...approved.values()]))
      this.settled.openUnsafe()
    }
  }

  get name(): string {
    return this.config.name
  }

  get isOfSessions(): boolean {
    return this.config.grants.scope === "session"
  }

  /** Whether what it says now is known, so that a person can approve it. */
  get isHeard(): boolean {
    return this.isOfSessions ? this.said !== undefined : this.main?.connection !== undefined
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

  describe(): McpServer {
    const { connection, lastError, retryAt, state = "ready" } = this.main ?? {}
    let calls = this.main?.calls ?? 0
    for (const instance of this.instances.values()) calls += instance.calls
    return {
      name: this.name,
      scope: this.isOfSessions ? "session" : "shared",
      instances: Array.from(this.instances, ([session, instance]) => instance.describe(session)),
      transport: this.config.transport.type,
      state,
      ...(connection === undefined ? {} : { identity: connection.identity }),
      tools: this.plan.usable.length,
      blocked: this.plan.blocked.length,
      refused: this.looked.refusedCount,
      restarts: this.restarts,
      calls,
      ...(lastError === undefined ? {} : { lastError }),
      ...(retryAt === undefined ? {} : { retryAt })
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
    const isReady = this.main === undefined || this.main.state === "ready"
    return [
      ...usable.map((tool) => of(tool, isReady ? "usable" : "unavailable")),
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
