/** One who is alive: a session's main agent, a sub-agent, a worker. */
import { Schema } from "effect"
import { SessionId } from "../session/SessionId.ts"

/** A session's main agent is `{ session, role: "main", index: 0 }`. */
export const AgentKey = Schema.Struct({
  session: SessionId,
  role: Schema.String.check(
    Schema.isPattern(/^[a-z][a-z0-9_-]{0,31}$/, { message: "a role: 1 to 32 small letters, digits, - or _" })
  ),
  index: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
})
export type AgentKey = typeof AgentKey.Type

export const AgentStatus = Schema.Literals(["idle", "busy", "awaiting_permission", "draining"])
export type AgentStatus = typeof AgentStatus.Type

export const Agent = Schema.Struct({
  key: AgentKey,
  tags: Schema.Array(Schema.String),
  capabilities: Schema.Array(Schema.String),
  status: AgentStatus,
  metadata: Schema.Record(Schema.String, Schema.String),
  /** Unix time in milliseconds. */
  registeredAt: Schema.Int
})
export type Agent = typeof Agent.Type
