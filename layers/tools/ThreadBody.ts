/**
 * What runs inside a worker thread: one task, told with the thread's start, that reports its progress and ends with a
 * result or a failure. Plain promises and few imports, for a thread is started for each call and has to start fast.
 */
import { setPriority } from "node:os"
import { parentPort, workerData } from "node:worker_threads"

/** An expected end: becomes the `ToolFailure` of the call. */
export class ThreadFailure extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** `percent` 0 to 100. Cheap to call: only a few reports a second leave the thread. */
export type ThreadProgress = (percent: number, stage: string) => void

export type ThreadMessage =
  | { readonly _tag: "Progress"; readonly percent: number; readonly stage: string }
  | { readonly _tag: "Done"; readonly result: unknown }
  | { readonly _tag: "Failed"; readonly code: string; readonly message: string }
  | { readonly _tag: "Crashed"; readonly detail: string }

/** Of 19: with every processor busy the thread still gets two thirds of what others get. */
const niceness = 2

/** Least milliseconds between two reports of the same stage. */
const interval = 200

const reporter = (post: (message: ThreadMessage) => void): ThreadProgress => {
  let lastStage = ""
  let lastPercent = -1
  let lastAt = 0
  return (percent, stage) => {
    const now = performance.now()
    if (stage === lastStage && (now - lastAt < interval || Math.floor(percent * 10) === lastPercent)) return
    lastStage = stage
    lastPercent = Math.floor(percent * 10)
    lastAt = now
    post({ _tag: "Progress", percent: lastPercent / 10, stage })
  }
}

/** Where a priority belongs to a thread, this one gives way to those that answer callers. */
const stepBack = () => {
  if (process.platform === "linux") setPriority(niceness)
}

/** Runs the thread's task. Called once, by the thread's entry file. */
export const runTask = async <Input, Output>(
  task: (input: Input, progress: ThreadProgress) => Promise<Output>
): Promise<void> => {
  const port = parentPort
  if (port === null) throw new Error("this file is the entry of a worker thread")
  stepBack()
  const post = (message: ThreadMessage) => port.postMessage(message)
  try {
    const input: Input = workerData
    post({ _tag: "Done", result: await task(input, reporter(post)) })
  } catch (error) {
    post(
      error instanceof ThreadFailure
        ? { _tag: "Failed", code: error.code, message: error.message }
        : { _tag: "Crashed", detail: error instanceof Error ? error.message : String(error) }
    )
  }
}
