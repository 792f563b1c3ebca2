/** Every event of the runtime. All of them are plain JSON: encoded and decoded form are the same. */
import { Schema } from "effect"
import { HealthEvent } from "../health/HealthEvent.ts"
import { BreakerEvent } from "../limits/BreakerEvent.ts"
import { MaintenanceEvent } from "../maintenance/MaintenanceEvent.ts"
import { McpEvent } from "../mcp/McpEvent.ts"
import { Session } from "../session/Session.ts"
import { SessionDelta, SessionEvent } from "../session/SessionEvent.ts"
import { SupervisionEvent } from "../supervision/SupervisionEvent.ts"
import { PoolEvent } from "../worker/PoolEvent.ts"
import { WorkerEvent } from "../worker/WorkerEvent.ts"
import { Subject, Topic } from "./Topic.ts"

/** What the journal keeps. */
export const DurableEvent = Schema.Union([SessionEvent, WorkerEvent])
export type DurableEvent = typeof DurableEvent.Type

export const RuntimeEvent = Schema.Union([
  SessionEvent,
  WorkerEvent,
  SessionDelta,
  SupervisionEvent,
  HealthEvent,
  MaintenanceEvent,
  PoolEvent,
  BreakerEvent,
  McpEvent
])
export type RuntimeEvent = typeof RuntimeEvent.Type

/** An event with its place: `sequence` counts a topic's events from 1 without a gap. */
export const Recorded = Schema.Struct({
  topic: Topic,
  sequence: Schema.Int,
  /** Unix time in milliseconds. For people: order is told by `sequence` alone. */
  at: Schema.Int,
  event: RuntimeEvent
})
export type Recorded = typeof Recorded.Type

/** What a subscriber receives. */
export const Delivery = Schema.TaggedUnion({
  /** An event of the topic's sequence. */
  Event: { topic: Topic, sequence: Schema.Int, at: Schema.Int, event: RuntimeEvent },
  /** A passing event that has no place in the sequence; `after` is the last sequence it follows. */
  Ephemeral: { topic: Topic, after: Schema.Int, at: Schema.Int, event: RuntimeEvent },
  /**
   * The subscriber's policy skipped the events from `from` to `to`, both included. Of a wildcard the numbers count the
   * events of this subscription from 1, over all its topics.
   */
  Lagged: { topic: Subject, from: Schema.Int, to: Schema.Int, count: Schema.Int },
  /**
   * First of a subscription that asked for it, in place of events that are no longer kept: the session's state after
   * the event with this `sequence`. Events from `earliest` on are still there for those who want to read them.
   */
  Snapshot: { topic: Topic, sequence: Schema.Int, earliest: Schema.Int, session: Session }
})
export type Delivery = typeof Delivery.Type
