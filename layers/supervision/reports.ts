/** What a supervisor writes to the log: crashes with their cause, children given up, and giving up itself. */
import { Cause, Effect, Exit } from "effect"
import type { ExitReason } from "../../services/supervision/SupervisionEvent.ts"
import { type SupervisedChild, shutdownOf } from "./SupervisedChild.ts"

const causeOf = (child: SupervisedChild): ReadonlyArray<unknown> =>
  child.exit !== undefined && Exit.isFailure(child.exit) ? [child.exit.cause] : []

export const crashed = (path: string, child: SupervisedChild): Effect.Effect<void> =>
  Effect.logError(`${path} crashed`, ...causeOf(child))

export const startFailed = (path: string, child: SupervisedChild): Effect.Effect<void> =>
  Effect.logError(`${path} could not be started again`, ...causeOf(child))

/** A child was stopped, and not as it should have. */
export const stopped = (path: string, child: SupervisedChild, reason: ExitReason): Effect.Effect<void> | undefined => {
  switch (reason._tag) {
    case "Failed":
      return Effect.logError(`${path} failed while it was stopped`, ...causeOf(child))
    case "Killed":
      return shutdownOf(child.spec) === "brutal_kill"
        ? undefined
        : Effect.logError(`${path} ignored the request to stop until its time was over; it is left behind`)
    default:
      return undefined
  }
}

export const gaveUp = (path: string, restarts: number, child: SupervisedChild): Effect.Effect<void> =>
  Effect.logError(`${path} gives up: ${restarts} restarts were not enough`, `last to end: ${child.spec.id}`)

export const startCause = (child: SupervisedChild): unknown =>
  child.exit === undefined
    ? new Error("it was stopped before it had started")
    : Exit.isFailure(child.exit)
      ? Cause.squash(child.exit.cause)
      : new Error("it ended before it had started")
