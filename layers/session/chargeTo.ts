/** Work that is done for a session from outside its turn, within its budget and on its account. */
import { Clock, Effect } from "effect"
import * as Budget from "../../services/session/Budget.ts"
import { Command } from "../../services/session/decide.ts"
import type { SessionClerk } from "../../services/session/SessionDesk.ts"
import { report } from "./LiveSession.ts"
import type { Others } from "./SubSessions.ts"
import type { Count, Reservations } from "./Reservations.ts"
import { overBudget } from "./treeBudget.ts"

/** The sessions above it pay too, so they are looked at as well. */
export const chargeTo =
  (
    others: Pick<Others, "reach" | "stateOf">,
    reservations: Reservations,
    budget: Budget.Limits
  ): SessionClerk["charge"] =>
  ({ maxTokens, server, sessionId, shown = 0 }, work) =>
    Effect.gen(function* () {
      const session = yield* Effect.mapError(others.reach(sessionId), ({ message }) => message)
      const now = yield* Clock.currentTimeMillis
      const refusal = yield* overBudget(others, budget, session, now, Budget.nothing, false)
      if (refusal !== undefined) return yield* Effect.fail(refusal.message)
      const paid = (count: Count) =>
        Effect.tap(work, ({ answer }) => {
          if (answer === undefined) return Effect.void
          count(answer)
          // Counted before it is given away: what a server has, its session has paid for.
          return report(session, session.inbox, Command.ChargeSampling({ server, answer })).pipe(
            Effect.mapError(() => "the session broke off before it was counted")
          )
        })
      return yield* reservations
        .afford(session, () => ({ shown, answer: maxTokens }), paid)
        .pipe(Effect.mapError((error) => (typeof error === "string" ? error : error.failure.message)))
    })
