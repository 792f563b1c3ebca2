/** Waits for a server that is away, is stopping or has too much to do, and asks again. Calls have to be safe to repeat. */
import { Effect, Predicate, Schedule } from "effect"
import * as reconnect from "../client/reconnect.ts"

const heals = (error: unknown): boolean =>
  Predicate.isTagged(error, "ServerUnreachable") ||
  Predicate.isTagged(error, "SessionInterrupted") ||
  Predicate.isTagged(error, "ShuttingDown") ||
  Predicate.isTagged(error, "Overloaded")

export const insist = <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() =>
    Effect.retry(
      call,
      Schedule.while(reconnect.make().schedule, ({ input }: { readonly input: E }) => heals(input))
    )
  )
