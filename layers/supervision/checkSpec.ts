/** What is wrong with a spec, in a sentence; OTP refuses the same combinations. */
import { Duration, Option } from "effect"
import { problemOf } from "../../services/supervision/planBackoff.ts"
import type { ChildSpec, SupervisorFlags } from "../../services/supervision/ChildSpec.ts"

const isTime = (input: Duration.Input): boolean =>
  Option.exists(Duration.fromInput(input), (duration) => Duration.toMillis(duration) >= 0)

const isPeriod = (input: Duration.Input): boolean =>
  Option.exists(Duration.fromInput(input), (duration) => {
    const millis = Duration.toMillis(duration)
    return millis > 0 && millis < Number.POSITIVE_INFINITY
  })

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
  if (flags.period !== undefined && !isPeriod(flags.period)) {
    return `the period of "${flags.id}" is a finite time above 0`
  }
  if (flags.maxChildren !== undefined && !(flags.maxChildren >= 0)) {
    return `maxChildren of "${flags.id}" is a number, 0 or more`
  }
  return undefined
}

export const checkChild = (spec: ChildSpec, autoShutdown: SupervisorFlags["autoShutdown"]): string | undefined => {
  if (spec.id === "") return "a child needs an id"
  const { backoff, shutdown, startTimeout } = spec
  if (startTimeout !== undefined && !isPeriod(startTimeout)) {
    return `the startTimeout of "${spec.id}" is a finite time above 0`
  }
  const problem = backoff === undefined ? undefined : problemOf(backoff)
  if (problem !== undefined) return `the backoff of "${spec.id}" ${problem}`
  if (shutdown !== undefined && shutdown !== "brutal_kill" && shutdown !== "infinity" && !isTime(shutdown)) {
    return `the shutdown of "${spec.id}" is a time of 0 or more, "brutal_kill" or "infinity"`
  }
  if (spec.significant !== true) return undefined
  if ((spec.restart ?? "permanent") === "permanent") {
    return `"${spec.id}" cannot be significant: a permanent child never ends for good; make it transient or temporary`
  }
  if ((autoShutdown ?? "never") === "never") {
    return `"${spec.id}" cannot be significant: its supervisor's autoShutdown is "never"`
  }
  return undefined
}

export const checkIds = (children: ReadonlyArray<Pick<ChildSpec, "id">>): string | undefined => {
  const seen = new Set<string>()
  for (const { id } of children) {
    if (seen.has(id)) return `two children have the id "${id}"; ids are unique below a supervisor`
    seen.add(id)
  }
  return undefined
}
