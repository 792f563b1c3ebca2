/**
 * Who is alive. An entry belongs to the scope that registered it and goes when that closes, however it closes; one who
 * does without a scope says itself when it goes. At most
 * one agent holds a key. Look-ups by key cost the same whatever is registered, and queries what they return, where an
 * index fits.
 */
import { Context, DateTime, type Duration, type Effect, Schema, type Scope, type Stream } from "effect"
import { Agent, AgentKey, type AgentStatus, nameOf } from "./Agent.ts"
import type { AgentChange } from "./AgentChange.ts"
import type { Receive } from "./AgentMessage.ts"
import type { AgentFilter, AgentQuery } from "./AgentQuery.ts"

export class AgentNotFound extends Schema.TaggedError<AgentNotFound>()("AgentNotFound", { key: AgentKey }) {
  override get message() {
    return `no agent ${nameOf(this.key)} is alive; see "espalier agents"`
  }
}

/** Another holds the key, and goes on holding it. */
export class AgentExists extends Schema.TaggedError<AgentExists>()("AgentExists", { key: AgentKey, holder: Agent }) {
  override get message() {
    return `an agent ${nameOf(this.key)} is alive already, since ${DateTime.formatIso(DateTime.makeUnsafe(this.holder.registeredAt))}`
  }
}

/** The entry is gone while its owner is not: its key was given up, or went to another. */
export class RegistrationLost extends Schema.TaggedError<RegistrationLost>()("RegistrationLost", {
  key: AgentKey,
  reason: Schema.Literals(["replaced", "taken_over", "left"])
}) {
  override get message() {
    const why = { replaced: "another replaced it", taken_over: "another took it over", left: "it was given up" }
    return `the registration of ${nameOf(this.key)} is gone: ${why[this.reason]}`
  }
}

/**
 * What happens when somebody holds the key.
 *
 * - `refuse`: the holder stays, and `AgentExists` names it, as `{error, {already_registered, Pid}}` does in OTP.
 * - `replace`: in one step the holder's entry goes and the new one is there. The holder is not stopped: its handle
 *   learns of it, and can change nothing any more.
 * - `take_over`: the holder is stopped first, by the `stop` that it registered with, and only when its entry is gone is
 *   the new one there. A holder that named no `stop`, or that is still there after `patience`, stays: `AgentExists`.
 */
export type ConflictPolicy = "refuse" | "replace" | "take_over"

export interface AgentUpdate {
  readonly tags?: ReadonlyArray<string> | undefined
  readonly capabilities?: ReadonlyArray<string> | undefined
  readonly status?: AgentStatus | undefined
  readonly load?: number | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

export interface Registration extends AgentUpdate {
  readonly key: AgentKey
  /** Default `refuse`. */
  readonly onConflict?: ConflictPolicy | undefined
  /** How long a holder may take to stop when it is taken over (default 5 seconds). */
  readonly patience?: Duration.Input | undefined
  /** How this agent is stopped when another takes it over. */
  readonly stop?: Effect.Effect<void> | undefined
  /** How this agent takes messages. A session's main agent takes them in its mailbox and needs none. */
  readonly receive?: Receive | undefined
}

/** What the owner of an entry holds of it. */
export interface AgentHandle {
  readonly agent: Agent
  /** Seen by the next look-up. */
  readonly update: (update: AgentUpdate) => Effect.Effect<void, RegistrationLost>
  /** Returns when the entry is gone, and tells why; never while its owner keeps it to the end of its scope. */
  readonly lost: Effect.Effect<RegistrationLost>
  /** Gives up the key before the scope closes. */
  readonly leave: Effect.Effect<void>
}

export class Registry extends Context.Service<
  Registry,
  {
    readonly register: (registration: Registration) => Effect.Effect<AgentHandle, AgentExists, Scope.Scope>
    /**
     * As `register`, for an owner that keeps its entry beyond any scope, as a session does that leaves memory. The entry
     * goes with its handle's `leave`, which is then for its owner to see to.
     */
    readonly enter: (registration: Registration) => Effect.Effect<AgentHandle, AgentExists>
    readonly lookup: (key: AgentKey) => Effect.Effect<Agent, AgentNotFound>
    /** How the agent takes messages; `undefined` if it takes none. */
    readonly receiver: (key: AgentKey) => Effect.Effect<Receive | undefined, AgentNotFound>
    readonly find: (query: AgentQuery) => Effect.Effect<ReadonlyArray<Agent>>
    /** Any of them, each as likely as the others. */
    readonly sample: (filter: AgentFilter) => Effect.Effect<Agent | undefined>
    /** Counts as one of the agent's connections until the scope closes. */
    readonly engage: (key: AgentKey) => Effect.Effect<void, AgentNotFound, Scope.Scope>
    /**
     * The result of a query, then how it changes, at most ten times a second. A reader that is slow is told the
     * difference to what it was last told: nothing is queued for it, and nothing that still holds is kept from it.
     */
    readonly watch: (query: AgentQuery) => Stream.Stream<AgentChange>
    readonly count: Effect.Effect<number>
  }
>()("espalier/registry/Registry") {}
