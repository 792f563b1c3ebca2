/**
 * One server as it runs, over all its lives: the one for all of a shared server, one for each session that uses it of a
 * server of sessions, or one that is only looked at for its tools. The fibers that work on it are its supervised child
 * and the keeper.
 */
import { Clock, Duration, Effect, Latch, type Scope } from "effect"
import type { McpTransport } from "../../services/mcp/McpConfig.ts"
import type { McpInstance, McpServerState } from "../../services/mcp/McpServer.ts"
import type { ApprovedTool } from "../../services/mcp/planApproval.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { Callers } from "./Callers.ts"
import type { Connection } from "./Connection.ts"
import type { ServerState } from "./ServerState.ts"

/** The longest silence of a call. */
export const defaultDeadline = Duration.seconds(300)

/** Why one of a session is stopped. */
export type Over = "ended" | "hibernated" | "idle" | "looked"

export class Instance {
  readonly server: ServerState
  /** Unique among all that run. */
  readonly id: string
  /** Whose it is; absent where it is nobody's own. */
  readonly sessionId: SessionId | undefined
  /** As it is for its session. */
  readonly transport: McpTransport
  state: McpServerState = "connecting"
  connection: Connection | undefined
  lastError: string | undefined
  lives = 0
  retryAt: number | undefined
  /** Open while it is ready. */
  readonly ready = Latch.makeUnsafe(false)
  /** Opens when its child has been given up on. */
  readonly gaveUp = Latch.makeUnsafe(false)
  /** Opens when a person wants another life of it. */
  readonly again = Latch.makeUnsafe(false)
  /** Opens when it is needed no longer, and `gone` when nothing of it is left. */
  readonly over = Latch.makeUnsafe(false)
  readonly gone = Latch.makeUnsafe(false)
  why: Over | undefined
  /** Calls under way. */
  readonly callers: Callers
  /** Those who call it or wait for it, and since when there are none. */
  users = 0
  usedAt = 0
  /** What it shows of its tools, by their own names. */
  shown: ReadonlyMap<string, ApprovedTool> = new Map()

  constructor(server: ServerState, id: string, transport: McpTransport, sessionId?: SessionId) {
    this.server = server
    this.id = id
    this.transport = transport
    this.sessionId = sessionId
    this.callers = new Callers(server.config.grants.deadline ?? defaultDeadline)
  }

  get calls(): number {
    return this.callers.count
  }

  /** For people: whose it is, too. */
  get label(): string {
    return this.sessionId === undefined ? this.server.name : `${this.server.name} of ${this.sessionId}`
  }

  /** The definition that may be used, which is what it shows and what was approved; or why none may. */
  usable(tool: string): ApprovedTool | "blocked" | "gone" {
    const shown = this.shown.get(tool)
    if (shown === undefined) return "gone"
    return this.server.approved?.get(tool)?.hash === shown.hash ? shown : "blocked"
  }

  /** It is needed no longer: whoever keeps it stops it. */
  end(why: Over): void {
    this.why ??= why
    this.over.openUnsafe()
  }

  /** It is used until the scope closes. */
  readonly inUse: Effect.Effect<void, never, Scope.Scope> = Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => void this.users++),
      () =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          this.users--
          this.usedAt = now
        })
    )
  )

  describe(session: SessionId): McpInstance {
    return {
      session,
      state: this.state,
      restarts: Math.max(0, this.lives - 1),
      calls: this.calls,
      ...(this.lastError === undefined ? {} : { lastError: this.lastError }),
      ...(this.retryAt === undefined ? {} : { retryAt: this.retryAt })
    }
  }
}
