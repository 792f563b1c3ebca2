/** Why the pool fails a worker, as it is journaled and shown; a tool's own failures keep their own code. */
import type { Failure } from "../Failure.ts"

const seconds = (milliseconds: number) => `${Math.round(milliseconds / 100) / 10} s`

export const queueTimeout = (patience: number): Failure => ({
  code: "queue_timeout",
  message: `no permit came free within ${seconds(patience)}, so the task was never started; try again later`
})

export const deadlineExceeded = (deadline: number): Failure => ({
  code: "deadline_exceeded",
  message: `the tool reported no progress for ${seconds(deadline)} and was stopped; give it less to do, or a longer deadline`
})

export const hardCapExceeded = (hardCap: number): Failure => ({
  code: "hard_cap_exceeded",
  message: `the tool ran for ${seconds(hardCap)}, which is the longest it may, and was stopped; give it less to do`
})

export const interrupted: Failure = {
  code: "interrupted",
  message: "the tool was cut off while it ran and may not be run twice; see what it has done before you start it again"
}

export const resultTooLarge = (limit: number): Failure => ({
  code: "result_too_large",
  message: `the tool's result is larger than ${limit / 1024} KiB; ask for less, or have it written to a file`
})

/** The details are in the log, under the same id. */
export const internalError = (errorId: string): Failure => ({
  code: "internal_error",
  message: `the tool broke off because of an error in its code; the log of the server tells more under ${errorId}`
})
