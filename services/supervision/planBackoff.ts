/**
 * How long to wait before a child is started once more: a pure decision from its back-off, how often it has been
 * started in a row and a random number. The first restart waits `initial`, each one after it longer by `factor` up to
 * `cap`, until the child has stayed up for `reset`.
 *
 * Each pause is shortened by a random part of at most `jitter`, so that children which fell together do not come back
 * together. Never lengthened: the cap is kept to the letter.
 */
import { Duration, Option } from "effect"

export interface Backoff {
  /** Before the first restart. */
  readonly initial: Duration.Input
  /** Default 2. */
  readonly factor?: number | undefined
  /** No pause is longer (default 30 seconds). */
  readonly cap?: Duration.Input | undefined
  /** The part of a pause that is left to chance, 0 to 1 (default 0.5). */
  readonly jitter?: number | undefined
  /** A child that stayed up this long begins anew (default: as long as the cap). */
  readonly reset?: Duration.Input | undefined
}

const capOf = ({ cap, initial }: Backoff): number =>
  cap === undefined
    ? Math.max(30_000, Duration.toMillis(Duration.fromInputUnsafe(initial)))
    : Duration.toMillis(Duration.fromInputUnsafe(cap))

/** Restarts in a row, this one included, when the life before it lasted `lived` milliseconds. */
export const restartsInARow = (backoff: Backoff, before: number, lived: number): number => {
  const reset =
    backoff.reset === undefined ? capOf(backoff) : Duration.toMillis(Duration.fromInputUnsafe(backoff.reset))
  return lived >= reset ? 1 : before + 1
}

/** Milliseconds to wait before the restart that is number `inARow`; `random` is at least 0 and below 1. */
export const pauseBefore = (backoff: Backoff, inARow: number, random: number): number => {
  const initial = Duration.toMillis(Duration.fromInputUnsafe(backoff.initial))
  const pause = Math.min(capOf(backoff), initial * (backoff.factor ?? 2) ** (inARow - 1))
  return Math.round(pause * (1 - (backoff.jitter ?? 0.5) * random))
}

const isFinite = (input: Duration.Input): boolean =>
  Option.exists(Duration.fromInput(input), (duration) => {
    const millis = Duration.toMillis(duration)
    return millis > 0 && millis < Number.POSITIVE_INFINITY
  })

/** What is wrong with a back-off, in words that go on after its name. */
export const problemOf = ({ cap, factor, initial, jitter, reset }: Backoff): string | undefined => {
  if (!isFinite(initial)) return "needs an `initial` that is a finite time above 0"
  if (cap !== undefined && !isFinite(cap)) return "needs a `cap` that is a finite time above 0"
  if (reset !== undefined && !isFinite(reset)) return "needs a `reset` that is a finite time above 0"
  if (factor !== undefined && !(factor >= 1 && factor < Number.POSITIVE_INFINITY))
    return "needs a `factor` of 1 or more"
  if (jitter !== undefined && !(jitter >= 0 && jitter <= 1)) return "needs a `jitter` from 0 to 1"
  return undefined
}
