/**
 * What a session and all below it have used, against the limits of the session and of all above it: work that is given
 * to sub-sessions is work of whoever gave it.
 */
import { Effect } from "effect"
import type { Failure } from "../../services/Failure.ts"
import * as Budget from "../../services/session/Budget.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import type { SessionState } from "../../services/session/SessionState.ts"
import type { LiveSession } from "./LiveSession.ts"
import type { Others } from "./SubSessions.ts"

type Known = Pick<Others, "stateOf">

const nothing = Effect.succeed(Budget.nothing)

/** Of the sub-sessions that the session's own account does not have yet. */
const below = (others: Known, { subs }: SessionState): Effect.Effect<Budget.Spending> =>
  subs.length === 0
    ? nothing
    : Effect.map(
        Effect.forEach(subs, ({ sessionId }) => usedBy(others, sessionId)),
        (used) => used.reduce(Budget.add, Budget.nothing)
      )

/** What a session and all below it have used. */
export const usedBy = (others: Known, id: SessionId): Effect.Effect<Budget.Spending> =>
  Effect.flatMap(others.stateOf(id), (state) =>
    state === undefined ? nothing : Effect.map(below(others, state), (used) => Budget.add(state.spent, used))
  )

/** The accounts of a session and of all above it, from its own on: of each with all below it, and `more`. */
export const accountsOf = Effect.fnUntraced(function* (
  others: Known,
  server: Budget.Limits,
  live: Pick<LiveSession, "state">,
  now: number,
  more: Budget.Spending = Budget.nothing
): Effect.fn.Return<ReadonlyArray<Budget.Limited>> {
  const accounts: Array<Budget.Limited> = []
  for (let at: SessionState | undefined = live.state; at !== undefined;) {
    const { createdAt, limits, parent, spent, turn }: SessionState = at
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
    accounts.push({ limits: limits === undefined ? server : Budget.tighter(server, limits), account })
    at = parent === undefined ? undefined : yield* others.stateOf(parent.sessionId)
  }
  return accounts
})
/** Why the turn of a session may not go on, or with calls why it may not run them. */
export const overBudget = Effect.fnUntraced(function* (
  others: Known,
  server: Budget.Limits,
  live: Pick<LiveSession, "state">,
  now: number,
  more: Budget.Spending,
  isCalling: boolean
): Effect.fn.Return<Failure | undefined> {
  for (const [index, { account, limits }] of (yield* accountsOf(others, server, live, now, more)).entries()) {
    const failure =
      Budget.exceeded(limits, account) ?? (isCalling && index === 0 ? Budget.stepsExceeded(limits, account) : undefined)
    if (failure !== undefined) return failure
  }
  return undefined
})

/** The session above all that are above it. */
export const rootOf = ({ stateOf }: Known, { id, parent }: SessionState): Effect.Effect<SessionId> =>
  parent === undefined
    ? Effect.succeed(id)
    : Effect.flatMap(stateOf(parent.sessionId), (above) =>
        above === undefined ? Effect.succeed(parent.sessionId) : rootOf({ stateOf }, above)
      )
