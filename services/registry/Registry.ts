/**
 * Who is alive. An entry belongs to the scope that registered it and goes when that closes, however it closes. Keys
 * are unique; look-ups by key, tag and capability cost as much as what they return.
 */
import { Context, type Effect, Schema, type Scope } from "effect"
import type { SessionId } from "../session/SessionId.ts"
import { type Agent, AgentKey, type AgentStatus } from "./Agent.ts"

export class AgentNotFound extends Schema.TaggedError<AgentNotFound>()("AgentNotFound", { key: AgentKey }) {
  override get message() {
    return `no agent ${this.key.session}/${this.key.role}/${this.key.index} is alive; see "espalier agents"`
  }
}

/** A live agent holds the key. */
export class AgentExists extends Schema.TaggedError<AgentExists>()("AgentExists", { key: AgentKey }) {
  override get message() {
    return `an agent ${this.key.session}/${this.key.role}/${this.key.index} is alive already`
  }
}

export interface Registration {
  readonly key: AgentKey
  readonly tags?: ReadonlyArray<string>
  readonly capabilities?: ReadonlyArray<string>
  readonly metadata?: Readonly<Record<string, string>>
}

export interface AgentUpdate {
  readonly tags?: ReadonlyArray<string>
  readonly capabilities?: ReadonlyArray<string>
  readonly status?: AgentStatus
  readonly metadata?: Readonly<Record<string, string>>
}

/** All that are given must hold. */
export interface AgentQuery {
  readonly session?: SessionId | undefined
  readonly role?: string | undefined
  readonly tag?: string | undefined
  readonly capability?: string | undefined
  /** Default 100. */
  readonly limit?: number | undefined
}

export class Registry extends Context.Service<
  Registry,
  {
    readonly register: (registration: Registration) => Effect.Effect<void, AgentExists, Scope.Scope>
    readonly update: (key: AgentKey, update: AgentUpdate) => Effect.Effect<void, AgentNotFound>
    readonly lookup: (key: AgentKey) => Effect.Effect<Agent, AgentNotFound>
    /** In the order they registered. */
    readonly find: (query: AgentQuery) => Effect.Effect<ReadonlyArray<Agent>>
    readonly count: Effect.Effect<number>
  }
>()("espalier/registry/Registry") {}
