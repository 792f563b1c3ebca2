/** What is wrong with a spec, in a sentence; OTP refuses the same combinations. */
import { Duration } from "effect"
import type { ChildSpec, SupervisorFlags } from "../../services/supervision/ChildSpec.ts"

const isPositive = (input: Duration.Input): boolean => {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(input))
  return Number.isFinite(millis) && millis > 0
}

export const checkFlags = (
  flags: Pick<SupervisorFlags, "intensity" | "period"> & {
    readonly id: string
    readonly maxChildren?: number | undefined
  }
): string | undefined => {
  if (flags.id === "") return "a supervisor needs an id"
  if (flags.intensity !== undefined && !(Number.isSafeInteger(flags.intensity) && flags.intensity >= 0)) {
    return `the intensity of "${flags.id}" is a whole number, 0 or more`
  }
  if (flags.period !== undefined && !isPositive(flags.period)) {
    return `the period of "${flags.id}" is a finite time above 0`
  }
  if (flags.maxChildren !== undefined && !(flags.maxChildren >= 0)) {
    return `maxChildren of "${flags.id}" is a number, 0 or more`
  }
  return undefined
}

export const checkChild = (spec: ChildSpec, autoShutdown: SupervisorFlags["autoShutdown"]): string | undefined => {
  if (spec.id === "") return "a child needs an id"
  if (spec.significant !== true) return undefined
  if ((spec.restart ?? "permanent") === "permanent") {
    return `"${spec.id}" cannot be significant: a permanent child never ends for good; make it transient or temporary`
  }
  if ((autoShutdown ?? "never") === "never") {
    return `"${spec.id}" cannot be significant: its supervisor's autoShutdown is "never"`
  }
  return undefined
}
