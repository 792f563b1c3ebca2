/**
 * Supervisors to OTP's letter: children started in order and stopped in reverse, restarted by type and strategy, and
 * given up on when they crash more often than their intensity allows. A supervisor is a child like any other.
 *
 * Source: Erlang/OTP, Design Principles, "Supervisor Behaviour"; stdlib, supervisor(3).
 */
import { Context, type Effect, Schema, type Scope } from "effect"
import type { ChildSpec, DynamicSupervisorSpec, SupervisorSpec } from "./ChildSpec.ts"
import type { ExitReason } from "./SupervisionEvent.ts"
import type { ChildInfo, ChildrenCount, TreeNode } from "./SupervisionTree.ts"

/** The child's `start` failed; nothing of it is left running. */
export class ChildStartFailed extends Schema.TaggedError<ChildStartFailed>()("ChildStartFailed", {
  id: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `child "${this.id}" did not start: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/** A child of that id is there (OTP: `already_started`, `already_present`). */
export class ChildExists extends Schema.TaggedError<ChildExists>()("ChildExists", {
  id: Schema.String,
  isRunning: Schema.Boolean
}) {
  override get message() {
    return this.isRunning
      ? `child "${this.id}" is running already`
      : `child "${this.id}" is present but not running; restart or delete it`
  }
}

/** No child of that id (OTP: `not_found`). */
export class ChildNotFound extends Schema.TaggedError<ChildNotFound>()("ChildNotFound", { id: Schema.String }) {
  override get message() {
    return `no child "${this.id}" here`
  }
}

/** The child is running, or about to be, and the call is for one that is not (OTP: `running`, `restarting`). */
export class ChildRunning extends Schema.TaggedError<ChildRunning>()("ChildRunning", { id: Schema.String }) {
  override get message() {
    return `child "${this.id}" is running; terminate it first`
  }
}

/** A dynamic supervisor has as many children as it may (`max_children`). */
export class MaxChildren extends Schema.TaggedError<MaxChildren>()("MaxChildren", { limit: Schema.Int }) {
  override get message() {
    return `the supervisor has all its ${this.limit} children; try again when one has ended`
  }
}

/** The supervisor has stopped. */
export class SupervisorStopped extends Schema.TaggedError<SupervisorStopped>()("SupervisorStopped", {
  id: Schema.String
}) {
  override get message() {
    return `supervisor "${this.id}" has stopped`
  }
}

/** A running supervisor, static or dynamic. */
export interface SupervisorRef {
  /** Ids from the root, joined by "/". */
  readonly path: string
  readonly startChild: (
    spec: ChildSpec
  ) => Effect.Effect<void, ChildStartFailed | ChildExists | MaxChildren | SupervisorStopped>
  /**
   * Starts a nested supervisor as a child of this one. When it gives up it ends with `shutdown`: started again if
   * permanent, which counts here, and left down if transient or temporary. The answer stays good over its restarts.
   */
  readonly startSupervisor: (
    spec: SupervisorSpec,
    options?: Pick<ChildSpec, "restart" | "shutdown" | "significant">
  ) => Effect.Effect<SupervisorRef, ChildStartFailed | ChildExists | MaxChildren | SupervisorStopped>
  readonly startDynamicSupervisor: (
    spec: DynamicSupervisorSpec,
    options?: Pick<ChildSpec, "restart" | "shutdown" | "significant">
  ) => Effect.Effect<SupervisorRef, ChildStartFailed | ChildExists | MaxChildren | SupervisorStopped>
  /** Returns when the child's finalizers have run, or its shutdown time is over. Keeps its spec unless temporary or dynamic. */
  readonly terminateChild: (id: string) => Effect.Effect<void, ChildNotFound>
  readonly restartChild: (id: string) => Effect.Effect<void, ChildNotFound | ChildRunning | ChildStartFailed>
  readonly deleteChild: (id: string) => Effect.Effect<void, ChildNotFound | ChildRunning>
  readonly whichChildren: Effect.Effect<ReadonlyArray<ChildInfo>>
  readonly countChildren: Effect.Effect<ChildrenCount>
  readonly getChildSpec: (id: string) => Effect.Effect<ChildSpec, ChildNotFound>
  /** The nested supervisor of that id; the reference stays good over its restarts. */
  readonly getSupervisor: (id: string) => Effect.Effect<SupervisorRef, ChildNotFound>
  /**
   * Interrupts a running child behind its supervisor's back, which to the supervisor is a crash like any other (OTP:
   * `exit(Pid, kill)`, but finalizers run). For tests of what stands on it. Returns before the child has ended.
   */
  readonly crashChild: (id: string) => Effect.Effect<void, ChildNotFound>
  /** This supervisor and all below it, as they are now. */
  readonly tree: Effect.Effect<TreeNode>
  /** Returns when the supervisor has stopped, with the reason it gave toward its parent. */
  readonly awaitExit: Effect.Effect<ExitReason>
}

export class Supervisor extends Context.Service<
  Supervisor,
  {
    /** Starts a root supervisor; closing the scope stops it, children in reverse order. */
    readonly start: (spec: SupervisorSpec) => Effect.Effect<SupervisorRef, ChildStartFailed, Scope.Scope>
    readonly startDynamic: (spec: DynamicSupervisorSpec) => Effect.Effect<SupervisorRef, never, Scope.Scope>
  }
>()("espalier/supervision/Supervisor") {}
