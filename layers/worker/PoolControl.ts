/** What an operator may do to a pool while it runs. It holds until the process stops. */
import { Effect } from "effect"
import type { InputIssue } from "../../services/InvalidInput.ts"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { maxPermits } from "../../services/worker/PoolLimits.ts"
import type { PoolMode } from "../../services/worker/PoolStatus.ts"
import { PoolNotFound, type Resize } from "../../services/worker/WorkerPool.ts"
import type { Part } from "./PoolEntry.ts"
import type { PoolState } from "./PoolState.ts"

/** The sizes that a resize leads to. One that has not scaled itself keeps its bounds at its permits. */
const resized = (part: Part, { max, min, permits }: Resize) => {
  const isFixed = part.min === part.max && min === undefined && max === undefined
  const to = permits ?? part.schedule.permits
  if (isFixed) return { to, min: to, max: to }
  const bounds = { min: min ?? part.min, max: max ?? part.max }
  // Without a word on the permits, they follow the bounds.
  return { ...bounds, to: permits ?? Math.min(Math.max(to, bounds.min), bounds.max) }
}

const issuesOf = ({ max, min, to }: { readonly to: number; readonly min: number; readonly max: number }) => {
  const issues: Array<InputIssue> = []
  for (const [path, value] of Object.entries({ permits: to, min, max })) {
    if (!Number.isSafeInteger(value) || value < 1 || value > maxPermits) {
      issues.push({ path, message: `a whole number from 1 to ${maxPermits}` })
    }
  }
  if (issues.length === 0 && (min > to || to > max)) {
    const message = `the pool scales itself from ${min} to ${max}; name permits between them, or other bounds`
    issues.push({ path: "permits", message })
  }
  return issues
}

export const make = (state: PoolState) => {
  const part = (name: string) =>
    Effect.suspend(() => {
      const found = state.parts.get(name)
      return found === undefined
        ? Effect.fail(new PoolNotFound({ pool: name, available: [...state.parts.keys()] }))
        : Effect.succeed(found)
    })

  const setMode = (mode: PoolMode) => (name: string) =>
    Effect.map(part(name), (found) => {
      state.setMode(found, mode)
      return found.status(state.now)
    })

  return {
    part,
    pause: setMode("paused"),
    drain: setMode("draining"),
    resume: setMode("open"),
    resize: Effect.fnUntraced(function* (name: string, size: Resize) {
      const found = yield* part(name)
      const { max, min, to } = resized(found, size)
      const issues = issuesOf({ max, min, to })
      if (issues.length > 0) return yield* new InvalidInput({ subject: `pool ${name}`, issues })
      found.min = min
      found.max = max
      // A pool that is told how large to be has warmed up.
      found.isWarm = true
      if (to !== found.schedule.permits) state.resize(found, to, "operator", "asked for")
      state.toScale.openUnsafe()
      return found.status(state.now)
    })
  }
}
