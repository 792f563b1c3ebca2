/**
 * A subscription to all topics of a kind, from now on. It has no cursor that a journal knows, so it goes nowhere else
 * for what it missed: it tells how much that was.
 */
import { Array as Arr, type Cause, type Duration, Effect, type Pull } from "effect"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import { type Policy, type SubscribeError, SubscriptionCut } from "../../services/events/Subscription.ts"
import type { Wildcard } from "../../services/events/Topic.ts"
import { Backlog, type Lost } from "./Backlog.ts"
import { page, type Reader } from "./EventReader.ts"
import * as Intake from "./Intake.ts"
import type { LiveTopics } from "./LiveTopics.ts"

export interface Options {
  readonly wildcard: Wildcard
  readonly policy: Policy
  readonly capacity: number
  readonly patience: Duration.Input
}

export const make = Effect.fnUntraced(function* (
  { capacity, patience, policy, wildcard }: Options,
  live: Effect.Effect<LiveTopics, Cause.Done>
) {
  const backlog = new Backlog(policy, capacity)
  const intake = yield* Intake.make({ subject: wildcard, policy, backlog, live, patience })
  yield* intake.attach
  let delivered = 0
  let lost = 0

  const skip = ({ count }: Lost): Delivery => {
    const position = delivered + lost
    lost += count
    return { _tag: "Lagged", topic: wildcard, from: position + 1, to: position + count, count }
  }
  const cut = (reason: SubscriptionCut["reason"]) =>
    Effect.fail(new SubscriptionCut({ topic: wildcard, after: 0, reason }))

  const next: Effect.Effect<ReadonlyArray<Delivery>, SubscriptionCut> = Effect.suspend(() => {
    if (backlog.isCut && backlog.size === 0) return cut("queue_full")
    return Effect.flatMap(intake.ready, () => {
      intake.taking()
      const { after, before, end, events, isBehind } = backlog.take(page)
      if (isBehind) return cut("bus_restarted")
      const deliveries: Array<Delivery> = before === undefined ? [] : [skip(before)]
      for (const event of events) {
        if (event._tag !== "Event") continue
        deliveries.push(event)
        delivered++
      }
      if (after !== undefined) deliveries.push(skip(after))
      if (end?._tag === "Event") {
        deliveries.push(end)
        delivered++
      }
      return Effect.as(intake.taken, deliveries)
    })
  })
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Delivery>, SubscribeError> = Effect.flatMap(next, (deliveries) =>
    Arr.isReadonlyArrayNonEmpty(deliveries) ? Effect.succeed(deliveries) : pull
  )
  return {
    pull,
    counts: () => {
      const gone = lost + backlog.untold
      const depth = backlog.waiting
      return {
        state: "live",
        published: delivered + gone + depth,
        delivered,
        lost: gone,
        pending: depth,
        depth,
        lag: depth + backlog.untold
      }
    }
  } satisfies Reader
})
