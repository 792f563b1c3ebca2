/**
 * What a command makes of a session: the events that follow from it, or why it is refused. Pure, so that every rule
 * about what may follow what stands here and nowhere else:
 *
 * - a turn ends once, a call is settled once, and nothing follows `SessionEnded`;
 * - a message that was accepted before is not accepted again;
 * - a step of a turn that is over changes nothing;
 * - a call that waits for permission is not put on the pool, and a permission is resolved once.
 */
import { Data, Result, type Schema } from "effect"
import type { Failure } from "../Failure.ts"
import type { AgentKey } from "../registry/Agent.ts"
import type { ModelAnswer } from "../model/ModelAnswer.ts"
import type { WorkerId } from "../worker/WorkerId.ts"
import * as Approval from "../permission/Approval.ts"
import type { Permission, PermissionId } from "../permission/Permission.ts"
import type { Spending } from "./Budget.ts"
import type { MessageAttachment } from "./MessageAttachment.ts"
import { recall } from "./RecentMessages.ts"
import type { SessionEvent, SessionMetadata, ToolOutcome, WhenBusy } from "./SessionEvent.ts"
import type { CallId, MessageId, SessionId, TurnId } from "./SessionId.ts"
import { MailboxFull, SessionBusy, SessionHasEnded, TooManySubSessions } from "./SessionManager.ts"
import type { SessionState, UnsettledCall } from "./SessionState.ts"
import { type LiveSub, MAX_LIVE } from "./SubSession.ts"

/** Messages that may wait, and calls outside a turn that may be unsettled. */
export const MAILBOX_CAPACITY = 100

/** A call that was decided on; with an outcome when it was settled by the look of it. */
export interface RequestedCall {
  readonly callId: CallId
  readonly workerId?: WorkerId | undefined
  readonly tool: string
  readonly args: Schema.Json
  /** A person has to allow it first. */
  readonly asks?: Omit<Permission, "callId" | "tool" | "args" | "path"> | undefined
  /** The sub-session that is its outcome. */
  readonly child?: Child | undefined
  readonly outcome?: ToolOutcome | undefined
}

/** A sub-session on its way: its own first event goes with the same append. */
export interface Child {
  readonly sessionId: SessionId
  readonly index: number
  readonly agentType: string
}

export interface AssistantText {
  readonly messageId: MessageId
  readonly text: string
}

export type Command = Data.TaggedEnum<{
  Send: {
    readonly messageId: MessageId
    readonly text: string
    readonly from?: AgentKey | undefined
    readonly attachments?: ReadonlyArray<MessageAttachment> | undefined
    readonly whenBusy?: WhenBusy | undefined
  }
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
  /** A call that had to be allowed first goes to the pool. */
  QueueCall: { readonly callId: CallId; readonly workerId: WorkerId }
  /** What the model is shown is made to fit. */
  Compact: {
    readonly turnId: TurnId
    readonly upTo: number
    readonly dropped: number
    readonly summary?: string | undefined
    readonly answer?: ModelAnswer | undefined
  }
  /** A sub-session begins: for a call, or because somebody asked for one. */
  Spawn: { readonly child: Child; readonly callId: CallId | undefined }
  /** It came to its outcome or to its end. */
  EndSub: { readonly sessionId: SessionId; readonly outcome: ToolOutcome; readonly spent: Spending }
  /** A sub-session asks for permission. */
  RelayPermission: { readonly permission: Permission }
  /** It was resolved in the session above or below this one. */
  FollowPermission: { readonly told: Approval.Resolved }
  AnswerPermission: Approval.Answer
  ExpirePermission: { readonly permissionId: PermissionId; readonly now: number }
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

/** The call is settled, waits for permission, or has its worker already. */
export class CallNotWaiting extends Data.TaggedError("CallNotWaiting")<{ readonly callId: CallId }> {}

export type Refusal =
  | TooManySubSessions
  | SessionHasEnded
  | SessionBusy
  | MailboxFull
  | TurnOver
  | CallNotWaiting
  | Approval.PermissionRefusal
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

const began = ({ agentType, index, sessionId }: Child, callId: CallId | undefined): SessionEvent => ({
  _tag: "SubSessionStarted",
  sessionId,
  index,
  agentType,
  ...(callId === undefined ? undefined : { callId })
})

/** Sub-sessions that nothing more will be heard of. */
const overSubs = (subs: SessionState["subs"], isOver: (sub: LiveSub) => boolean): ReadonlyArray<SessionEvent> =>
  subs.filter(isOver).map(({ sessionId }) => ({ _tag: "SubSessionEnded", sessionId, spent: { tokens: 0, cost: 0 } }))

const settleAll = (calls: ReadonlyArray<UnsettledCall>, outcome: ToolOutcome): ReadonlyArray<SessionEvent> =>
  calls.map(({ callId }) => settled(callId, outcome))

const asked = ({ args, asks, callId, tool }: RequestedCall): ReadonlyArray<SessionEvent> =>
  asks === undefined ? [] : [{ _tag: "PermissionRequested", callId, tool, args, ...asks }]

/** Permissions that are waited for, and the calls themselves. */
const settleOpen = (
  state: SessionState,
  calls: ReadonlyArray<UnsettledCall>,
  outcome: ToolOutcome
): ReadonlyArray<SessionEvent> => [
  ...Approval.withdrawCalls(state.permission, calls),
  ...overSubs(state.subs, ({ callId }) => calls.some((call) => call.callId === callId)),
  ...settleAll(calls, outcome)
]

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
      const whenBusy = command.whenBusy ?? state.whenBusy
      if (whenBusy === "reject" && (turn !== undefined || state.waiting.length > 0)) {
        return Result.fail(new SessionBusy({ sessionId: state.id }))
      }
      if (state.waiting.length >= MAILBOX_CAPACITY) {
        return Result.fail(new MailboxFull({ sessionId: state.id, capacity: MAILBOX_CAPACITY }))
      }
      const isSuperseding = turn !== undefined && (whenBusy === "interrupt" || whenBusy === "rollback")
      const { attachments = [], from, messageId, text } = command
      return Result.succeed([
        {
          _tag: "MessageReceived",
          messageId,
          text,
          ...(from === undefined ? undefined : { from }),
          ...(attachments.length === 0 ? undefined : { attachments }),
          ...(isSuperseding ? { supersedes: whenBusy } : undefined)
        }
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
        ...command.calls.flatMap(asked),
        ...command.calls.flatMap(({ callId, child }) => (child === undefined ? [] : [began(child, callId)])),
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
    case "QueueCall": {
      const { callId, workerId } = command
      const call = state.calls.find((call) => call.callId === callId)
      const isAsked = state.permission.pending.some((asked) => asked.callId === callId)
      return call === undefined || call.workerId !== undefined || isAsked
        ? Result.fail(new CallNotWaiting({ callId }))
        : Result.succeed([{ _tag: "ToolCallQueued", callId, workerId }])
    }
    case "Compact": {
      const { answer, dropped, summary, turnId, upTo } = command
      if (turn?.id !== turnId) return Result.fail(new TurnOver({ turnId }))
      return Result.succeed([
        {
          _tag: "ContextCompacted",
          turnId,
          upTo,
          dropped,
          ...(summary === undefined ? undefined : { summary }),
          ...(answer === undefined ? undefined : { answer })
        }
      ])
    }
    case "Spawn": {
      const { callId, child } = command
      if (state.isEnded) return Result.fail(new SessionHasEnded({ sessionId: state.id }))
      if (callId === undefined) {
        return state.subs.length >= MAX_LIVE
          ? Result.fail(new TooManySubSessions({ sessionId: state.id, limit: MAX_LIVE }))
          : Result.succeed([began(child, undefined)])
      }
      const call = state.calls.find((call) => call.callId === callId)
      const isAsked = state.permission.pending.some((asked) => asked.callId === callId)
      return call === undefined || call.child !== undefined || isAsked
        ? Result.fail(new CallNotWaiting({ callId }))
        : Result.succeed([began(child, callId)])
    }
    case "EndSub": {
      const { outcome, sessionId, spent } = command
      const sub = state.subs.find((sub) => sub.sessionId === sessionId)
      if (sub === undefined) return nothing
      const isHere = state.calls.some(({ callId }) => callId === sub.callId)
      return Result.succeed([
        ...Approval.withdraw(state.permission, ({ path }) => path?.[0] === sessionId),
        { _tag: "SubSessionEnded", sessionId, spent },
        ...(isHere && sub.callId !== undefined ? [settled(sub.callId, outcome)] : [])
      ])
    }
    case "RelayPermission":
      return Result.succeed(state.isEnded ? [] : Approval.relay(state.permission, command.permission))
    case "FollowPermission":
      return Result.succeed(Approval.follow(state.permission, command.told))
    case "AnswerPermission":
      return state.isEnded
        ? Result.fail(new SessionHasEnded({ sessionId: state.id }))
        : Approval.answer(state.id, state.owner, state.permission, command)
    case "ExpirePermission":
      return Result.succeed(Approval.expire(state.permission, command.permissionId, command.now))
    case "SettleCall": {
      const call = state.calls.find(({ callId }) => callId === command.callId)
      return call === undefined ? nothing : Result.succeed(settleOpen(state, [call], command.outcome))
    }
    case "EndTurn": {
      if (turn?.id !== command.turnId) return nothing
      const { answer, failure, outcome, text } = command
      return Result.succeed([
        ...settleOpen(
          state,
          state.calls.filter(({ turnId }) => turnId === turn.id),
          outcome === "cancelled" ? cancelled : interrupted
        ),
        ...said(turn.id, text, outcome !== "completed", answer),
        ...(turn.superseded === "rollback" ? [{ _tag: "TurnRolledBack", turnId: turn.id } as const] : []),
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
        ...Approval.withdraw(state.permission, () => true),
        ...overSubs(state.subs, () => true),
        ...settleAll(state.calls, cancelled),
        ...over,
        { _tag: "SessionEnded", reason: command.reason }
      ])
    }
  }
}
