/** Looking after real processes from a test. */
import { Effect, Schedule } from "effect"
import { readFileSync } from "node:fs"

/** A process that still runs; one that has ended and waits to be collected does not. */
export const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return true
  }
}

/** Polls until it holds, or fails after a while. */
export const soon = (what: string, holds: () => boolean, seconds = 10) =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.fail(what))).pipe(
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: seconds * 20 }))),
    Effect.mapError((what) => new Error(`never came true within ${seconds} s: ${what}`)),
    Effect.orDie
  )

/** The process ids a fixture has written down, one a line. */
export const writtenPids = (file: string): ReadonlyArray<number> => {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map(Number)
  } catch {
    return []
  }
}
