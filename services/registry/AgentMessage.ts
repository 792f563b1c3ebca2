/** Messages between agents, and what became of each. */
import { Context, type Duration, type Effect, Schema } from "effect"
import { MessageId } from "../session/SessionId.ts"
import { AgentKey } from "./Agent.ts"
import type { AgentFilter } from "./AgentQuery.ts"
import type { NoAgentAvailable, Route } from "./Router.ts"

export const AgentMessage = Schema.Struct({
  /** Makes a retry safe: an agent that has it takes it no second time. */
  messageId: MessageId,
  /** Who sends it; absent when no agent does. */
  from: Schema.optionalKey(AgentKey),
  text: Schema.String
})
export type AgentMessage = typeof AgentMessage.Type

export const DeliveryOutcome = Schema.TaggedUnion({
  /** It is in the agent's mailbox; of a session, durably, as this event of its topic. */
  Delivered: { sequence: Schema.optionalKey(Schema.Int) },
  /** Nothing was accepted; safe to retry. */
  MailboxFull: { capacity: Schema.Int },
  NoSuchAgent: {},
  /** It was stopped and takes nothing more. */
  Ended: {},
  /** It is alive, and not one that takes messages. */
  NoMailbox: {},
  /** No answer in time. It may have been accepted: retry with the same message id. */
  TimedOut: {},
  /** Something else stood in the way, and nothing was accepted. */
  Refused: { code: Schema.String, message: Schema.String }
})
export type DeliveryOutcome = typeof DeliveryOutcome.Type

/** How an agent that is no session takes a message: into a bounded mailbox of its own, without waiting. */
export type Receive = (message: AgentMessage) => Effect.Effect<typeof ReceiveOutcome.Type>
export const ReceiveOutcome = Schema.Union([
  DeliveryOutcome.cases.Delivered,
  DeliveryOutcome.cases.MailboxFull,
  DeliveryOutcome.cases.Ended,
  DeliveryOutcome.cases.Refused
])

export const DeliveryReceipt = Schema.Struct({ agent: AgentKey, messageId: MessageId, outcome: DeliveryOutcome })
export type DeliveryReceipt = typeof DeliveryReceipt.Type

export interface Letter {
  readonly text: string
  readonly from?: AgentKey | undefined
  readonly messageId?: MessageId | undefined
  /** How long an outcome may take (default 5 seconds). */
  readonly patience?: Duration.Input | undefined
}

/** Agents that a broadcast reaches, unless it says how many; and at most. */
export const AUDIENCE = 100
export const MAX_AUDIENCE = 1_000

export class AgentMessages extends Context.Service<
  AgentMessages,
  {
    /** To one agent by its key: a session's main agent is reached also while it is not in memory. */
    readonly send: (to: AgentKey, letter: Letter) => Effect.Effect<DeliveryReceipt>
    /** To one of those that fit; not to its sender. */
    readonly route: (to: Route, letter: Letter) => Effect.Effect<DeliveryReceipt, NoAgentAvailable>
    /** To all that fit, at most `limit` of them, the oldest first (default 100); its sender is left out. */
    readonly broadcast: (
      to: AgentFilter,
      letter: Letter & { readonly limit?: number | undefined }
    ) => Effect.Effect<ReadonlyArray<DeliveryReceipt>>
  }
>()("espalier/registry/AgentMessages") {}
