/**
 * What a session and all below it have used, against the limits of the session and of all above it: work that is given
 * to sub-sessions is work of whoever gave it.
 */
import type { Failure } from "../../services/Failure.ts"
import * as Budget from "../../services/session/Budget.ts"
import type { SessionState } from "../../services/session/SessionState.ts"
import type { LiveSession } from "./LiveSession.ts"
import type { Others } from "./SubSessions.ts"

type Find = Pick<Others, "find">

/** Of the sub-sessions that are alive; those that have ended are in its own account. */
const below = ({ find }: Find, { subs }: SessionState): Budget.Spending =>
  subs.reduce((sum, { sessionId }) => {
    const sub = find(sessionId)
    return sub === undefined ? sum : Budget.add(Budget.add(sum, sub.state.spent), below({ find }, sub.state))
  }, Budget.nothing)

/** Why the turn of a session may not go on, or with calls why it may not run them. */
export const overBudget = (
  others: Find,
  server: Budget.Limits,
  live: LiveSession,
  now: number,
  more: Budget.Spending,
  isCalling: boolean
): Failure | undefined => {
  for (let at: LiveSession | undefined = live; at !== undefined;) {
    const { createdAt, limits, parent, spent, turn }: SessionState = at.state
    const both = limits === undefined ? server : Budget.tighter(server, limits)
    const beside = Budget.add(more, below(others, at.state))
    const account = {
      turn: {
        spent: Budget.add(turn?.spent ?? Budget.nothing, beside),
        startedAt: turn?.startedAt ?? now,
        steps: turn?.steps ?? 0
      },
      session: { spent: Budget.add(spent, beside), startedAt: createdAt },
      now
    }
    const failure =
      Budget.exceeded(both, account) ?? (isCalling && at === live ? Budget.stepsExceeded(both, account) : undefined)
    if (failure !== undefined) return failure
    at = parent === undefined ? undefined : others.find(parent.sessionId)
  }
  return undefined
}
