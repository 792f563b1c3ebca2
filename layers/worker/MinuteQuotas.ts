/** How many tasks a minute a session, or a key, may have accepted of a pool: a token bucket for each. */
import { Effect } from "effect"
import { RateLimits } from "../../services/limits/RateLimits.ts"
import type { Ticket } from "../../services/worker/Ticket.ts"
import { QuotaExceeded } from "../../services/worker/WorkerPool.ts"
import type { Part } from "./PoolEntry.ts"

/** Milliseconds to wait where the limit cannot tell. */
const minute = 60_000

export const make = Effect.gen(function* () {
  const limits = yield* RateLimits

  const take = (part: Part, of: "session" | "key", name: string, limit: number) =>
    limits.take({ name: `pool:${part.name}:${of}`, limit, per: "1 minute" }, { key: name }).pipe(
      Effect.catch(({ retryAfter = minute }) => {
        part.refused++
        return Effect.fail(new QuotaExceeded({ pool: part.name, of, name, quota: "perMinute", limit, retryAfter }))
      })
    )

  /** The session's own comes first, so that one that asks too often uses up nothing of its key's. */
  return Effect.fnUntraced(function* (part: Part, { key, session }: Ticket) {
    const { perKey, perSession } = part.limits
    if (perSession.perMinute !== Infinity) yield* take(part, "session", session, perSession.perMinute)
    if (key !== undefined && perKey.perMinute !== Infinity) yield* take(part, "key", key, perKey.perMinute)
  })
})
