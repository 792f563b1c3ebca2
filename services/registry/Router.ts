/**
 * Picks an agent for a piece of work. Only agents that are `idle` or `busy` are picked; `draining` and `unhealthy` ones
 * are passed over.
 */
import { Context, type Effect, Schema } from "effect"
import type { Agent } from "./Agent.ts"
import type { AgentFilter } from "./AgentQuery.ts"

/**
 * - `round_robin`: each in turn, the oldest first.
 * - `least_loaded`: the one with the least to do, by its own `load` and what is routed to it; equals take turns.
 * - `least_connections`: the one with the least routed to it; equals take turns.
 * - `random`: any, each as likely as the others.
 * - `{ sticky }`: for the same key the same agent, for as long as that lives and takes work.
 */
export const RoutingStrategy = Schema.Union([
  Schema.Literals(["round_robin", "least_loaded", "least_connections", "random"]),
  Schema.Struct({ sticky: Schema.NonEmptyString.check(Schema.isMaxLength(200)) })
])
export type RoutingStrategy = typeof RoutingStrategy.Type

/** Nobody that is alive and takes work fits. Nothing was done; safe to retry. */
export class NoAgentAvailable extends Schema.TaggedError<NoAgentAvailable>()("NoAgentAvailable", {
  /** What was asked for, in words. */
  asked: Schema.String,
  /** Some fit and are draining or unhealthy. */
  passedOver: Schema.Boolean
}) {
  override get message() {
    const why = this.passedOver ? "those there are drain or are unhealthy" : "none is alive"
    return `no agent is available with ${this.asked}: ${why}; start one, or try again later`
  }
}

export interface Route extends AgentFilter {
  /** Default `round_robin`. */
  readonly strategy?: RoutingStrategy | undefined
}

export class Router extends Context.Service<
  Router,
  {
    /** The agent alone: what is done with it does not count as a connection. */
    readonly pick: (route: Route) => Effect.Effect<Agent, NoAgentAvailable>
    /** Does work with an agent, which counts as one of its connections until it ends, however it ends. */
    readonly withAgent: <A, E, R>(
      route: Route,
      use: (agent: Agent) => Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | NoAgentAvailable, R>
  }
>()("espalier/registry/Router") {}
