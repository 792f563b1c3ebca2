/**
 * What the pool's child does while it runs: starts what has a permit, ends what has waited too long, and looks after
 * places whose callers have gone silent. None of these fibers holds anything of its own.
 */
import { Effect, type Latch } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import type { SupervisorRef } from "../../services/supervision/Supervisor.ts"
import * as Failures from "../../services/worker/WorkerFailures.ts"
import type { Entry, Part } from "./PoolEntry.ts"
import type { PoolState } from "./PoolState.ts"
import type { WorkerRecords } from "./WorkerRecords.ts"

/** Milliseconds until a supervisor that took no child is asked again. */
const startAgainAfter = 250

/**
 * Hands workers with a permit to the supervisor of tool executors. One leaves `granted` only when its child has come to
 * life, so a dispatcher killed at any instant has lost none and started none twice.
 */
export const dispatcher = (state: PoolState, executors: SupervisorRef, childOf: (entry: Entry) => ChildSpec) =>
  Effect.andThen(
    // The dispatcher before this one may have been killed between taking notice and handing over.
    Effect.sync(() => state.toStart.openUnsafe()),
    Effect.forever(
      Effect.gen(function* () {
        yield* state.toStart.await
        state.toStart.closeUnsafe()
        let isRefused = false
        // One that is granted while this goes on is for the next round: none that fails to start is tried without a pause.
        for (const entry of Array.from(state.granted)) {
          if (!state.granted.has(entry)) continue
          yield* executors.startChild(childOf(entry)).pipe(
            Effect.catch((error) => {
              isRefused = true
              return Effect.logWarning(`worker ${entry.id} cannot be started now; trying again`, error)
            })
          )
        }
        if (!isRefused) return
        yield* Effect.sleep(startAgainAfter)
        state.toStart.openUnsafe()
      })
    )
  )

/** Acts whenever the next of something is due. What is due first stays first, so one timer is enough for all. */
const whenDue = <E>(
  state: PoolState,
  wake: Latch.Latch,
  nextAt: () => number | undefined,
  act: Effect.Effect<void, E>
): Effect.Effect<never, E> =>
  Effect.forever(
    Effect.gen(function* () {
      yield* wake.await
      const due = nextAt()
      if (due === undefined) wake.closeUnsafe()
      else if (due > state.now) yield* Effect.sleep(due - state.now)
      else yield* act
    })
  )

const expire = (state: PoolState, part: Part, now: number) => {
  const { limits, schedule } = part
  const failure = Failures.queueTimeout(limits.patience)
  for (let next = schedule.nextToExpire; next !== undefined && next.expiresAt <= now; next = schedule.nextToExpire) {
    schedule.remove(next)
    part.timedOut++
    state.settle(next.value, { _tag: "WorkerFailed", failure })
  }
}

/** Ends every task whose patience is over; it never starts. */
export const expirer = (state: PoolState) =>
  whenDue(
    state,
    state.toExpire,
    () => {
      let first = Infinity
      for (const { schedule } of state.parts.values())
        first = Math.min(first, schedule.nextToExpire?.expiresAt ?? first)
      return first === Infinity ? undefined : first
    },
    Effect.sync(() => {
      const now = state.now
      for (const part of state.parts.values()) expire(state, part, now)
    })
  )

/** Publishes what is done to the pools. */
export const herald = (state: PoolState, { bus }: WorkerRecords) =>
  Effect.forever(
    Effect.andThen(
      state.toTell.await,
      Effect.suspend(() => {
        const events = state.untold
        state.untold = []
        state.toTell.closeUnsafe()
        return events.length === 0 ? Effect.void : bus.publishSystem(Topic.pool, events)
      }).pipe(Effect.uninterruptible)
    )
  )

/**
 * Looks after admitted tasks that were neither queued nor given back: their caller may have crashed between its append
 * and its next step. The journal knows: what it has is queued, what it has not gives its place back.
 */
export const reclaimer = (state: PoolState, { journal }: WorkerRecords) => {
  const reclaim = (entry: Entry) =>
    journal.head(entry.topic).pipe(
      Effect.map((head) => (head === undefined ? state.reclaim(entry) : state.enqueue(entry))),
      Effect.catchCause((cause) =>
        Effect.andThen(
          Effect.sync(() => state.lease(entry)),
          Effect.logDebug(`whether ${entry.id} is durable cannot be told now`, cause)
        )
      )
    )
  return whenDue(
    state,
    state.toReclaim,
    () => state.admitted.values().next().value?.leaseEndsAt,
    Effect.suspend(() => {
      const now = state.now
      const due: Array<Entry> = []
      for (const entry of state.admitted.values()) {
        if (entry.leaseEndsAt > now) break
        due.push(entry)
      }
      return Effect.forEach(due, reclaim, { discard: true })
    })
  )
}
