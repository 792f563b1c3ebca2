/** What follows for a session from the sessions below it: one begins, or has come to its outcome. */
import { Result } from "effect"
import * as Approval from "../permission/Approval.ts"
import * as Settling from "../question/Settling.ts"
import type { Spending } from "./Budget.ts"
import { CallNotWaiting, type Child, type Decision } from "./Command.ts"
import type { SessionEvent, ToolOutcome } from "./SessionEvent.ts"
import type { CallId, SessionId } from "./SessionId.ts"
import { SessionHasEnded, TooManySubSessions } from "./SessionManager.ts"
import type { SessionState } from "./SessionState.ts"
import { type LiveSub, MAX_LIVE } from "./SubSession.ts"

export const began = ({ agentType, index, sessionId }: Child, callId: CallId | undefined): SessionEvent => ({
  _tag: "SubSessionStarted",
  sessionId,
  index,
  agentType,
  ...(callId === undefined ? undefined : { callId })
})

/** Sub-sessions that nothing more will be heard of. */
export const overSubs = (subs: SessionState["subs"], isOver: (sub: LiveSub) => boolean): ReadonlyArray<SessionEvent> =>
  subs.filter(isOver).map(({ sessionId }) => ({ _tag: "SubSessionEnded", sessionId, spent: { tokens: 0, cost: 0 } }))

export const spawn = (state: SessionState, child: Child, callId: CallId | undefined): Decision => {
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

export const endSub = (state: SessionState, sessionId: SessionId, outcome: ToolOutcome, spent: Spending): Decision => {
  const sub = state.subs.find((sub) => sub.sessionId === sessionId)
  if (sub === undefined) return Result.succeed([])
  const calls = state.calls.filter(({ callId }) => callId === sub.callId)
  const isHere = calls.length > 0
  return Result.succeed([
    ...Approval.withdraw(state.permission, ({ path }) => path?.[0] === sessionId),
    ...Settling.withdraw(state.questions, ({ path }) => path?.[0] === sessionId),
    { _tag: "SubSessionEnded", sessionId, spent },
    ...(isHere ? Settling.withdrawOwn(state, calls) : []),
    ...(isHere && sub.callId !== undefined ? [{ _tag: "ToolCallSettled", callId: sub.callId, outcome } as const] : [])
  ])
}
