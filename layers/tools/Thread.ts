/**
 * Work for a processor of its own: one worker thread for one call, which lives as long as the call.
 *
 * Interrupting the call stops the thread in the middle of whatever it computes. A thread that throws, runs out of
 * memory or just ends is a failed call (`tool_crashed`) and never more than that. It gets its own bounded heap, no
 * environment, and nothing of what it prints.
 */
import { Effect, Queue } from "effect"
import { Worker } from "node:worker_threads"
import { ToolCall, ToolFailure } from "../../services/tools/Tool.ts"
import type { ThreadMessage } from "./ThreadBody.ts"

export interface Options<Input> {
  /** The thread's entry file, see `entry`. */
  readonly entry: URL
  /** Cloned into the thread. */
  readonly input: Input
  /** Most megabytes of heap; a thread that needs more ends. */
  readonly heap: number
}

/** The entry file `name` next to the module that asks: TypeScript in a source tree, JavaScript in a built package. */
export const entry = (name: string, moduleUrl: string): URL =>
  new URL(`${name}${moduleUrl.endsWith(".ts") ? ".ts" : ".js"}`, moduleUrl)

const crashed = (detail: string) =>
  new ToolFailure({
    code: "tool_crashed",
    message: `the tool's thread ended before its work was done (${detail}); nothing else was affected, and the call can be tried again`
  })

const describe = (error: Error): string =>
  "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY" ? "it ran out of memory" : error.message

/** Megabytes of a heap that new objects may take up before they are looked through. */
const youngHeap = 16

/** Reports that nobody takes in time make room for newer ones; what ends the thread is always the newest. */
const backlog = 64

/**
 * Runs the thread to its end. What it computes is typed by the caller: entry and `Output` belong together.
 */
export const run = <Output, Input = unknown>(options: Options<Input>): Effect.Effect<Output, ToolFailure, ToolCall> =>
  Effect.scoped(
    Effect.gen(function* () {
      const call = yield* ToolCall
      const messages = yield* Queue.sliding<ThreadMessage>(backlog)
      yield* Effect.acquireRelease(
        Effect.try({
          try: () => {
            const worker = new Worker(options.entry, {
              workerData: options.input,
              env: {},
              argv: [],
              execArgv: [],
              stdout: true,
              stderr: true,
              resourceLimits: { maxOldGenerationSizeMb: options.heap, maxYoungGenerationSizeMb: youngHeap }
            })
            const offer = (message: ThreadMessage) => void Queue.offerUnsafe(messages, message)
            // Unread output would pile up.
            worker.stdout.resume()
            worker.stderr.resume()
            worker.on("message", offer)
            worker.on("messageerror", (error) => offer({ _tag: "Crashed", detail: error.message }))
            worker.on("error", (error: Error) => offer({ _tag: "Crashed", detail: describe(error) }))
            worker.on("exit", (code) => offer({ _tag: "Crashed", detail: `exit code ${code}` }))
            return worker
          },
          catch: (cause) => crashed(cause instanceof Error ? cause.message : String(cause))
        }),
        (worker) => Effect.promise(() => worker.terminate())
      )
      while (true) {
        const message = yield* Queue.take(messages)
        switch (message._tag) {
          case "Progress":
            yield* call.progress(message.percent, message.stage)
            break
          case "Done":
            return message.result as Output
          case "Failed":
            return yield* new ToolFailure({ code: message.code, message: message.message })
          case "Crashed":
            return yield* crashed(message.detail)
        }
      }
    })
  ).pipe(
    Effect.withSpan("Thread.run", { attributes: { entry: options.entry.pathname.split("/").slice(-2).join("/") } })
  )
