/** Kinds of agents: what a session of one is told, and what it may do. */
import { Context } from "effect"
import type { PermissionRule } from "../permission/Rules.ts"

export interface AgentType {
  readonly name: string
  /** Told to the model before everything else. */
  readonly prompt?: string | undefined
  /** Besides those of the session: the strictest counts. */
  readonly rules?: ReadonlyArray<PermissionRule> | undefined
}

/** Those that were declared, by name. A session of any other type has no prompt and no rules of its own. */
export const AgentTypes = Context.Reference<ReadonlyMap<string, AgentType>>("espalier/session/AgentTypes", {
  defaultValue: () => new Map()
})
