/**
 * What a command makes of a session: the events that follow from it, or why it is refused. Pure, so that every rule
 * about what may follow what stands here and in what is asked from here, and nowhere else:
 *
 * - a turn ends once, a call is settled once, and nothing follows `SessionEnded`;
 * - a message that was accepted before is not accepted again;
 * - a step of a turn that is over changes nothing;
 * - a call that waits for permission is carried out nowhere, and a permission is resolved once (`Approval.ts`);
 * - a question to the person is settled once (`Settling.ts`), and none outlives the calls that it may come from;
 * - a sub-session ends once, and with it the call that it stands for (`decideSubSession.ts`).
 */
import { Result } from "effect"
import type { ModelAnswer } from "../model/ModelAnswer.ts"
import * as Approval from "../permission/Approval.ts"
import * as Settling from "../question/Settling.ts"
import {
  type AssistantText,
  CallNotWaiting,
  type Command,
  type Decision,
  MAILBOX_CAPACITY,
  type RequestedCall,
  TurnOver
} from "./Command.ts"
import { began, endSub, overSubs, spawn } from "./decideSubSession.ts"
import { recall } from "./RecentMessages.ts"
import type { SessionEvent, ToolOutcome } from "./SessionEvent.ts"
import type { CallId, TurnId } from "./SessionId.ts"
import { MailboxFull, SessionBusy, SessionHasEnded } from "./SessionManager.ts"
import type { SessionState, UnsettledCall } from "./SessionState.ts"
import type { LiveSub } from "./SubSession.ts"

export * from "./Command.ts"

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

const asked = ({ args, asks, callId, tool }: RequestedCall): ReadonlyArray<SessionEvent> =>
  asks === undefined ? [] : [{ _tag: "PermissionRequested", callId, tool, args, ...asks }]

/** Permissions that are waited for, questions that came of the calls, and the calls themselves. */
const settleOpen = (
  state: SessionState,
  calls: ReadonlyArray<UnsettledCall>,
  outcome: ToolOutcome
): ReadonlyArray<SessionEvent> => {
  const isOver = ({ callId }: LiveSub) => calls.some((call) => call.callId === callId)
  const over = state.subs.filter(isOver)
  return [
    ...Approval.withdrawCalls(state.permission, calls),
    ...Settling.withdrawOwn(state, calls),
    ...Settling.withdraw(state.questions, ({ path }) => over.some(({ sessionId }) => sessionId === path?.[0])),
    ...overSubs(state.subs, isOver),
    ...settleAll(calls, outcome)
  ]
}

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
    case "Spawn":
      return spawn(state, command.child, command.callId)
    case "EndSub":
      return endSub(state, command.sessionId, command.outcome, command.spent)
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
    case "AskQuestion":
      return Settling.ask(state, command.question)
    case "RelayQuestion":
      return Result.succeed(Settling.relay(state, command.question))
    case "FollowQuestion":
      return Result.succeed(Settling.follow(state.questions, command.told))
    case "AnswerQuestion":
      return state.isEnded
        ? Result.fail(new SessionHasEnded({ sessionId: state.id }))
        : Settling.answer(state.id, state.owner, state.questions, command)
    case "ExpireQuestion":
      return Result.succeed(Settling.expire(state.questions, command.questionId, command.now))
    case "WithdrawQuestion":
      return Result.succeed(Settling.withdraw(state.questions, ({ questionId }) => questionId === command.questionId))
    case "ChargeSampling":
      return state.isEnded
        ? nothing
        : Result.succeed([{ _tag: "TextSampled", server: command.server, answer: command.answer }])
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
        ...Settling.withdraw(state.questions, () => true),
        ...overSubs(state.subs, () => true),
        ...settleAll(state.calls, cancelled),
        ...over,
        { _tag: "SessionEnded", reason: command.reason }
      ])
    }
  }
}
