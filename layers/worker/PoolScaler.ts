/** Looks at the pools that scale themselves once a second and does what is planned; and opens those that warm up. */
import { Effect } from "effect"
import { initial, type Memory, planScale, planWarmUp } from "../../services/worker/planScale.ts"
import type { Part } from "./PoolEntry.ts"
import type { PoolState } from "./PoolState.ts"
import type * as ProcessLoad from "./ProcessLoad.ts"

/** Milliseconds between two looks. */
const interval = 1_000

interface Watch {
  readonly memory: Memory
  readonly arrived: number
}

export const scaler = (state: PoolState, processLoad: ProcessLoad.ProcessLoad) => {
  const startedAt = state.now
  const watches = new WeakMap<Part, Watch>()
  const isLookedAfter = (part: Part) => !part.isWarm || part.min < part.max

  const warmUp = (part: Part, now: number) => {
    const { min, permits, warmUp } = part.limits
    const since = now - startedAt
    const to = planWarmUp(since, warmUp, min, permits)
    part.isWarm = since >= warmUp
    if (to !== part.schedule.permits)
      state.resize(part, to, "warm_up", `${Math.round(since / 1_000)} s after the start`)
  }

  const scale = (part: Part, now: number, load: ProcessLoad.Load) => {
    const { memory, arrived } = watches.get(part) ?? { memory: initial, arrived: part.arrived }
    const { permits, queued, running } = part.schedule
    // While permits are free, what waits is held back by its quota, or by an operator.
    const isHeldBack = running < permits
    const plan = planScale(
      memory,
      {
        at: now,
        permits,
        running,
        queued: isHeldBack ? 0 : queued,
        arrived: part.arrived - arrived,
        waited: isHeldBack ? 0 : part.waited(now),
        runTime: part.runTime,
        ...load
      },
      part.limits.scaling,
      part
    )
    watches.set(part, { memory: plan.memory, arrived: part.arrived })
    if (plan.step !== undefined) state.resize(part, plan.step.to, "autoscaler", plan.step.reason)
  }

  const look = (load: ProcessLoad.Load) =>
    Effect.sync(() => {
      const now = state.now
      for (const part of state.parts.values()) {
        if (!part.isWarm) warmUp(part, now)
        else if (part.min < part.max && part.mode === "open") scale(part, now, load)
      }
    })

  /** Until no pool has to be looked after any more. */
  const rounds = Effect.gen(function* () {
    const loadNow = yield* processLoad
    while ([...state.parts.values()].some(isLookedAfter)) {
      yield* Effect.sleep(interval)
      yield* look(yield* loadNow)
    }
    state.toScale.closeUnsafe()
  }).pipe(Effect.scoped)

  return Effect.andThen(
    Effect.sync(() => state.toScale.openUnsafe()),
    Effect.forever(Effect.andThen(state.toScale.await, rounds))
  )
}
