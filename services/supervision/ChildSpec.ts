/**
 * What a supervisor is told of its children and of itself, in the words of OTP's `supervisor`
 * (Erlang/OTP, stdlib, supervisor(3): "child specification", "supervisor flags").
 */
import type { Duration, Effect, Scope } from "effect"
import type { Backoff } from "./planBackoff.ts"
import type { ExitReason } from "./SupervisionEvent.ts"

/** `permanent`: always restarted. `transient`: only after a failure. `temporary`: never, and forgotten when it ends. */
export type RestartType = "permanent" | "transient" | "temporary"

/** How long a child may take to stop: a duration, `brutal_kill` (its end is not waited for), or `infinity`. */
export type Shutdown = Duration.Input | "brutal_kill" | "infinity"

export type ChildType = "worker" | "supervisor"

/**
 * A child that has initialised: its body. The child lives as long as the body runs: success is a normal exit (success
 * with `ExitReason`'s `Shutdown` is that of a wanted stop, as a supervisor's own end is), a failure or defect is a
 * crash, and so is an interruption that its supervisor did not ask for.
 */
export type Body = Effect.Effect<unknown, unknown>

export interface ChildSpec {
  /** Unique below its supervisor. */
  readonly id: string
  /**
   * Initialises the child and hands back its body; a failure here is a failed start. The scope is the child's own: it
   * closes when the body has ended, and its finalizers have run before a replacement starts.
   */
  readonly start: Effect.Effect<Body, unknown, Scope.Scope>
  /** Default `permanent`. */
  readonly restart?: RestartType | undefined
  /** Beyond OTP: how long `start` may take; longer is a failed start. Default: as long as it likes. */
  readonly startTimeout?: Duration.Input | undefined
  /** Beyond OTP: pauses before restarts that come one after the other. Default: none. */
  readonly backoff?: Backoff | undefined
  /** Default 5 seconds for a worker, `infinity` for a supervisor. */
  readonly shutdown?: Shutdown | undefined
  /** Default `worker`. */
  readonly type?: ChildType | undefined
  /** Its normal end may end the supervisor (`autoShutdown`). Not for permanent children. */
  readonly significant?: boolean | undefined
  /**
   * Its last word where restarts are counted per child (`intensityPer`): run in its place, within its shutdown time,
   * once it has crashed so often that it stays down.
   */
  readonly onGiveUp?: ((reason: ExitReason) => Effect.Effect<void, unknown, Scope.Scope>) | undefined
  /** Work waiting for the child, for the tree to show. */
  readonly mailbox?: Effect.Effect<number> | undefined
}

export type Strategy = "one_for_one" | "one_for_all" | "rest_for_one"

export interface SupervisorFlags {
  /** Default `one_for_one`. */
  readonly strategy?: Strategy | undefined
  /** More restarts than this within `period` and the supervisor gives up (default 3). */
  readonly intensity?: number | undefined
  /** Default 5 seconds. */
  readonly period?: Duration.Input | undefined
  readonly autoShutdown?: "never" | "any_significant" | "all_significant" | undefined
}

export interface SupervisorSpec extends SupervisorFlags {
  readonly id: string
  /** Started in order, stopped in reverse. Supervisors among them are written with `supervisor` and `dynamicSupervisor`. */
  readonly children: ReadonlyArray<ChildSpec | SupervisorChild>
  /**
   * For a nested supervisor: children added at run time come back when it is itself started again. OTP forgets them,
   * which is the default.
   */
  readonly keepAdded?: boolean | undefined
}

/** A supervisor of children that come and go, all alike in nature (OTP's `simple_one_for_one`; Elixir's `DynamicSupervisor`). */
export interface DynamicSupervisorSpec extends Omit<SupervisorFlags, "strategy" | "autoShutdown"> {
  readonly id: string
  /**
   * Whose restarts are counted together: those of all children as in OTP (`supervisor`, the default), or those of
   * each child by itself (`child`), so that one that crashes for ever ends alone.
   */
  readonly intensityPer?: "supervisor" | "child" | undefined
  /** Default: unlimited. */
  readonly maxChildren?: number | undefined
}

/** What a supervisor is told of a child that is itself a supervisor. */
export type Nesting = Pick<ChildSpec, "restart" | "shutdown" | "significant" | "backoff">

/** A supervisor as a child, written where it stands. */
export type SupervisorChild =
  | ({ readonly _tag: "Supervisor" } & SupervisorSpec & Nesting)
  | ({ readonly _tag: "DynamicSupervisor" } & DynamicSupervisorSpec & Nesting)

/** A supervisor among the children of another: so a whole tree is one value. */
export const supervisor = (spec: SupervisorSpec & Nesting): SupervisorChild => ({ _tag: "Supervisor", ...spec })

/** The same for a supervisor of children that come and go. */
export const dynamicSupervisor = (spec: DynamicSupervisorSpec & Nesting): SupervisorChild => ({
  _tag: "DynamicSupervisor",
  ...spec
})
