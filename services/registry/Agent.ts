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

/** A key as people read and write it: `ses_1/main/0`. */
export const nameOf = ({ index, role, session }: AgentKey): string => `${session}/${role}/${index}`

export const mainOf = (session: SessionId): AgentKey => ({ session, role: "main", index: 0 })

export const isMain = ({ index, role }: AgentKey): boolean => index === 0 && role === "main"

/** `draining` and `unhealthy` agents are alive, and no work is routed to them. */
export const AgentStatus = Schema.Literals([
  "idle",
  "busy",
  "awaiting_permission",
  "hibernated",
  "draining",
  "unhealthy"
])
export type AgentStatus = typeof AgentStatus.Type

/** A session that hibernates wakes for what is routed to it. */
export const isAvailable = ({ status }: { readonly status: string }): boolean =>
  status === "idle" || status === "busy" || status === "hibernated"

export const Agent = Schema.Struct({
  key: AgentKey,
  /** Counts registrations: of two agents the older one has the lower, and a key that is registered again a new one. */
  incarnation: Schema.Int,
  tags: Schema.Array(Schema.String),
  capabilities: Schema.Array(Schema.String),
  status: AgentStatus,
  /** What it has to do, in its own measure: of a session, the turn that runs and the messages that wait. */
  load: Schema.Finite,
  /** What was routed to it and is still under way. */
  connections: Schema.Int,
  metadata: Schema.Record(Schema.String, Schema.String),
  /** Unix time in milliseconds. */
  registeredAt: Schema.Int
})
export type Agent = typeof Agent.Type
