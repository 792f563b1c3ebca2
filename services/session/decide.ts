/**
 * What a command makes of a session: the events that follow from it, or why it is refused. Pure, so that every rule
 * about what may follow what stands here and nowhere else:
 *
 * - a turn ends once, a call is settled once, and nothing follows `SessionEnded`;
 * - a message that was accepted before is not accepted again;
 * - a step of a turn that is over changes nothing.
 */
import { Data, Result, type Schema } from "effect"
import type { Failure } from "../Failure.ts"
import type { AgentKey } from "../registry/Agent.ts"
import type { ModelAnswer } from "../model/ModelAnswer.ts"
import type { WorkerId } from "../worker/WorkerId.ts"
import { recall } from "./RecentMessages.ts"
import type { SessionEvent, SessionMetadata, ToolOutcome } from "./SessionEvent.ts"
import type { CallId, MessageId, TurnId } from "./SessionId.ts"
import { MailboxFull, SessionHasEnded } from "./SessionManager.ts"
import type { SessionState, UnsettledCall } from "./SessionState.ts"

/** Messages that may wait, and calls outside a turn that may be unsettled. */
export const MAILBOX_CAPACITY = 100

/** A call that was decided on; with an outcome when it was settled by the look of it. */
export interface RequestedCall {
  readonly callId: CallId
  readonly workerId?: WorkerId | undefined
  readonly tool: string
  readonly args: Schema.Json
  readonly outcome?: ToolOutcome | undefined
}

export interface AssistantText {
  readonly messageId: MessageId
  readonly text: string
}

export type Command = Data.TaggedEnum<{
  Send: { readonly messageId: MessageId; readonly text: string; readonly from?: AgentKey | undefined }
  Update: { readonly title: string | undefined; readonly metadata: SessionMetadata | undefined }
  /** The next waiting message gets its turn, if none runs. */
  StartTurn: { readonly turnId: TurnId }
  /** A step of a turn: what the model said and the calls it asked for. */
  RequestCalls: {
    readonly turnId: TurnId
    readonly text: AssistantText | undefined
    readonly calls: ReadonlyArray<RequestedCall>
    readonly answer?: ModelAnswer | undefined
  }
  /** A person's own call. */
  RequestCall: { readonly call: RequestedCall }
  SettleCall: { readonly callId: CallId; readonly outcome: ToolOutcome }
  EndTurn: {
    readonly turnId: TurnId
    readonly text: AssistantText | undefined
    readonly outcome: "completed" | "cancelled" | "failed"
    readonly failure: Failure | undefined
    readonly answer?: ModelAnswer | undefined
  }
  End: { readonly reason: string; readonly text: AssistantText | undefined }
}>
export const Command = Data.taggedEnum<Command>()

/** The turn that asks is no longer the one that runs. */
export class TurnOver extends Data.TaggedError("TurnOver")<{ readonly turnId: TurnId }> {}

export type Refusal = SessionHasEnded | MailboxFull | TurnOver
export type Decision = Result.Result<ReadonlyArray<SessionEvent>, Refusal>

const nothing: Decision = Result.succeed([])
const cancelled: ToolOutcome = { _tag: "ToolCancelled" }
const interrupted: ToolOutcome = { _tag: "ToolInterrupted" }

const requested = (call: RequestedCall, turnId: TurnId | undefined, answer?: ModelAnswer): SessionEvent => ({
  _tag: "ToolCallRequested",
  callId: call.callId,
  ...(turnId === undefined ? undefined : { turnId }),
  ...(call.workerId === undefined ? undefined : { workerId: call.workerId }),
  tool: call.tool,
  args: call.args,
  ...(answer === undefined ? undefined : { answer })
})

const settled = (callId: CallId, outcome: ToolOutcome): SessionEvent => ({ _tag: "ToolCallSettled", callId, outcome })

const settleAll = (calls: ReadonlyArray<UnsettledCall>, outcome: ToolOutcome): ReadonlyArray<SessionEvent> =>
  calls.map(({ callId }) => settled(callId, outcome))

const said = (
  turnId: TurnId,
  text: AssistantText | undefined,
  partial: boolean,
  answer?: ModelAnswer
): ReadonlyArray<SessionEvent> =>
  text === undefined
    ? []
    : [{ _tag: "MessageSettled", turnId, ...text, partial, ...(answer === undefined ? undefined : { answer }) }]

const outsideTurns = (calls: ReadonlyArray<UnsettledCall>): number =>
  calls.reduce((count, { turnId }) => (turnId === undefined ? count + 1 : count), 0)

export const decide = (state: SessionState, command: Command): Decision => {
  const { turn } = state
  switch (command._tag) {
    case "Send": {
      if (recall(state.recent, command.messageId) !== undefined) return nothing
      if (state.isEnded) return Result.fail(new SessionHasEnded({ sessionId: state.id }))
      if (state.waiting.length >= MAILBOX_CAPACITY) {
        return Result.fail(new MailboxFull({ sessionId: state.id, capacity: MAILBOX_CAPACITY }))
      }
      const { from, messageId, text } = command
      return Result.succeed([
        { _tag: "MessageReceived", messageId, text, ...(from === undefined ? undefined : { from }) }
      ])
    }
    case "Update": {
      if (state.isEnded) return Result.fail(new SessionHasEnded({ sessionId: state.id }))
      const { metadata, title } = command
      if (title === undefined && metadata === undefined) return nothing
      return Result.succeed([
        {
          _tag: "SessionUpdated",
          ...(title === undefined ? undefined : { title }),
          ...(metadata === undefined ? undefined : { metadata })
        }
      ])
    }
    case "StartTurn": {
      const next = state.waiting[0]
      if (state.isEnded || turn !== undefined || next === undefined) return nothing
      return Result.succeed([{ _tag: "TurnStarted", turnId: command.turnId, messageId: next.id }])
    }
    case "RequestCalls": {
      if (turn?.id !== command.turnId) return Result.fail(new TurnOver({ turnId: command.turnId }))
      const { answer, text } = command
      return Result.succeed([
        ...said(turn.id, text, false, answer),
        ...command.calls.map((call, index) =>
          requested(call, turn.id, text === undefined && index === 0 ? answer : undefined)
        ),
        ...command.calls.flatMap(({ callId, outcome }) => (outcome === undefined ? [] : [settled(callId, outcome)]))
      ])
    }
    case "RequestCall": {
      if (state.isEnded) return Result.fail(new SessionHasEnded({ sessionId: state.id }))
      if (state.calls.length >= MAILBOX_CAPACITY && outsideTurns(state.calls) >= MAILBOX_CAPACITY) {
        return Result.fail(new MailboxFull({ sessionId: state.id, capacity: MAILBOX_CAPACITY }))
      }
      return Result.succeed([requested(command.call, undefined)])
    }
    case "SettleCall":
      return state.calls.some(({ callId }) => callId === command.callId)
        ? Result.succeed([settled(command.callId, command.outcome)])
        : nothing
    case "EndTurn": {
      if (turn?.id !== command.turnId) return nothing
      const { answer, failure, outcome, text } = command
      return Result.succeed([
        ...settleAll(
          state.calls.filter(({ turnId }) => turnId === turn.id),
          outcome === "cancelled" ? cancelled : interrupted
        ),
        ...said(turn.id, text, outcome !== "completed", answer),
        {
          _tag: "TurnEnded",
          turnId: turn.id,
          outcome,
          ...(failure === undefined ? undefined : { failure }),
          ...(answer === undefined || text !== undefined ? undefined : { answer })
        }
      ])
    }
    // End
    default: {
      if (state.isEnded) return nothing
      const over: ReadonlyArray<SessionEvent> =
        turn === undefined
          ? []
          : [...said(turn.id, command.text, true), { _tag: "TurnEnded", turnId: turn.id, outcome: "cancelled" }]
      return Result.succeed([
        ...settleAll(state.calls, cancelled),
        ...over,
        { _tag: "SessionEnded", reason: command.reason }
      ])
    }
  }
}
