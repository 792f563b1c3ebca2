/**
 * A topic without an end: what a subscription gives, over whatever happens to the connection or the server.
 *
 * It knows the last event it has handed out, and goes on after it: no gap, no repeat, no reorder. Broken connections,
 * servers that are away, busy or stopping, and subscriptions that the server cut off heal by trying again, with
 * growing pauses; whatever does not heal by itself is the stream's failure.
 */
import { Effect, Schedule, Schema, Stream } from "effect"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import type { Expired, Policy, SubscribeError } from "../../services/events/Subscription.ts"
import { isDurable, type Topic } from "../../services/events/Topic.ts"
import type { InternalError } from "../../services/gateway/InternalError.ts"
import type { Overloaded } from "../../services/gateway/Overloaded.ts"
import type { ServerUnreachable } from "../../services/gateway/ServerUnreachable.ts"
import type { ShuttingDown } from "../../services/gateway/ShuttingDown.ts"
import type { SessionNotFound } from "../../services/session/SessionManager.ts"
import type { WorkerNotFound } from "../../services/worker/WorkerPool.ts"
import * as reconnect from "./reconnect.ts"

export interface FollowOptions {
  /** First sequence wanted. Absent: what happens from the moment the stream starts. */
  readonly from?: number | undefined
  /** What a full queue at the server means (default `catchup`: nothing is lost). */
  readonly policy?: Policy | undefined
  readonly capacity?: number | undefined
  /**
   * What it means that the next event is no longer kept, at the start or after a long time away: `fail` (the default)
   * ends the stream with `CursorExpired`; `snapshot` hands out a `Snapshot` in its place and goes on after it.
   */
  readonly expired?: Expired | undefined
  /** Who this is, for those who ask the server who listens. */
  readonly label?: string | undefined
}

/** What a subscription may end with. */
export type Refusal =
  | SubscribeError
  | SessionNotFound
  | WorkerNotFound
  | Overloaded
  | ShuttingDown
  | InternalError
  | ServerUnreachable

const healing = [
  "ServerUnreachable",
  "ShuttingDown",
  "Overloaded",
  "InternalError",
  "SubscriptionCut",
  "StorageFull",
  "StorageUnavailable"
] as const
type Healing = (typeof healing)[number]

/** What trying again does not heal. */
export type FollowError = Exclude<Refusal, { readonly _tag: Healing }>

/** The subscription ended without saying why, or has to be begun elsewhere: try again. */
class Again extends Schema.TaggedError<Again>()("Again", {}) {}

const heals = (error: Refusal | Again): error is Extract<Refusal, { readonly _tag: Healing }> | Again =>
  error._tag === "Again" || healing.some((tag) => tag === error._tag)

type Subscribe = (payload: {
  readonly topic: Topic
  readonly from: number
  readonly policy?: Policy
  readonly capacity?: number
  readonly expired?: Expired
  readonly label?: string
}) => Stream.Stream<Delivery, Refusal>

/** More than any topic has. */
const beyond = 2 ** 52

export const follow = (
  subscribe: Subscribe,
  topic: Topic,
  { capacity, expired, from, label, policy }: FollowOptions = {}
): Stream.Stream<Delivery, FollowError> =>
  Stream.suspend(() => {
    const how = {
      ...(policy === undefined ? {} : { policy }),
      ...(capacity === undefined ? {} : { capacity }),
      ...(expired === undefined ? {} : { expired }),
      ...(label === undefined ? {} : { label })
    }
    let next = from
    let hasBegun = false
    const { schedule, worked } = reconnect.make()

    /** Where the topic ends now, so that what comes is not missed whenever the connection breaks. */
    const begin = Stream.suspend(() => subscribe({ topic, from: beyond, ...how })).pipe(
      Stream.runDrain,
      Effect.catchTag("CursorAhead", ({ latest }) => Effect.sync(() => (next = latest + 1))),
      Effect.asVoid
    )
    /** A system topic is numbered anew by each life of the server, and kept for a while only. */
    const elsewhere = (error: Refusal): Stream.Stream<Delivery, Refusal | Again> => {
      if (!hasBegun || isDurable(topic) || next === undefined) return Stream.fail(error)
      if (error._tag === "CursorAhead") {
        next = 1
        return Stream.fail(new Again())
      }
      if (error._tag !== "CursorExpired") return Stream.fail(error)
      const skipped = { from: next, to: error.earliest - 1, count: error.earliest - next }
      next = error.earliest
      return Stream.concat(Stream.succeed({ _tag: "Lagged", topic, ...skipped } as const), Stream.fail(new Again()))
    }
    const resume = Stream.suspend(() => subscribe({ topic, from: next ?? 1, ...how })).pipe(
      Stream.catch(elsewhere),
      Stream.map((delivery) => {
        hasBegun = true
        worked()
        if (delivery._tag === "Event" || delivery._tag === "Snapshot") next = delivery.sequence + 1
        else if (delivery._tag === "Lagged") next = delivery.to + 1
        return delivery
      }),
      Stream.concat(Stream.fail(new Again()))
    )
    const attempt = Stream.unwrap(
      Effect.as(
        Effect.suspend(() => (next === undefined ? begin : Effect.void)),
        resume
      )
    )
    const healed = Stream.retry(
      attempt,
      Schedule.while(schedule, ({ input }: { readonly input: Refusal | Again }) => heals(input))
    )
    // Only what does not heal comes through.
    return Stream.mapError(healed, (error) => error as FollowError)
  })
