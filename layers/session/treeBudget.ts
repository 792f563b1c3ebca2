/**
 * What a session and all below it have used, against the limits of the session and of all above it: work that is given
 * to sub-sessions is work of whoever gave it.
 */
import { Effect } from "effect"
import type { Failure } from "../../services/Failure.ts"
import * as Budget from "../../services/session/Budget.ts"
import type { SessionState } from "../../services/session/SessionState.ts"
import type { LiveSession } from "./LiveSession.ts"
import type { Others } from "./SubSessions.ts"

type Known = Pick<Others, "stateOf">

const nothing = Effect.succeed(Budget.nothing)

/** Of the sub-sessions that the session's own account does not have yet. */
const below = ({ stateOf }: Known, { subs }: SessionState): Effect.Effect<Budget.Spending> =>
  subs.length === 0
    ? nothing
    : Effect.map(
        Effect.forEach(subs, ({ sessionId }) =>
          Effect.flatMap(stateOf(sessionId), (sub) =>
            sub === undefined ? nothing : Effect.map(below({ stateOf }, sub), (used) => Budget.add(sub.spent, used))
          )
        ),
        (used) => used.reduce(Budget.add, Budget.nothing)
      )

/** Why the turn of a session may not go on, or with calls why it may not run them. */
export const overBudget = Effect.fnUntraced(function* (
  others: Known,
  server: Budget.Limits,
  live: Pick<LiveSession, "state">,
  now: number,
  more: Budget.Spending,
  isCalling: boolean
): Effect.fn.Return<Failure | undefined> {
  let isOwn = true
  for (let at: SessionState | undefined = live.state; at !== undefined; isOwn = false) {
    const { createdAt, limits, parent, spent, turn }: SessionState = at
    const both = limits === undefined ? server : Budget.tighter(server, limits)
    const beside = Budget.add(more, yield* below(others, at))
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
      Budget.exceeded(both, account) ?? (isCalling && isOwn ? Budget.stepsExceeded(both, account) : undefined)
    if (failure !== undefined) return failure
    at = parent === undefined ? undefined : yield* others.stateOf(parent.sessionId)
  }
  return undefined
})
