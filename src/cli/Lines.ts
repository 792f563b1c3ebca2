/** What a person types, or a pipe holds, line by line. */
import { type Cause, Effect, Queue, type Scope } from "effect"
import { createInterface } from "node:readline"
import * as Terminal from "./Terminal.ts"

export interface Lines {
  /** Ends with the input. */
  readonly take: Effect.Effect<string, Cause.Done>
  /** Asks for a line, where there is somebody to ask. */
  readonly ask: Effect.Effect<void>
  readonly isTerminal: boolean
}

/** Lines that may wait; the input is read no further then. */
const CAPACITY = 100

export const make: Effect.Effect<Lines, never, Scope.Scope> = Effect.gen(function* () {
  const queue = yield* Queue.bounded<string, Cause.Done>(CAPACITY)
  const isTerminal = process.stdin.isTTY && Terminal.isTerminal("stdout")
  /** A pause comes too late for the lines of the piece that was read. */
  const held: Array<string> = []
  let hasClosed = false
  const input = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const input = createInterface({
        input: process.stdin,
        ...(isTerminal ? { output: process.stdout } : {}),
        terminal: isTerminal,
        prompt: "> "
      })
      input.on("line", (line) => {
        if (!Queue.offerUnsafe(queue, line)) held.push(line)
        if (held.length > 0) input.pause()
      })
      input.on("close", () => {
        hasClosed = true
        if (held.length === 0) Queue.endUnsafe(queue)
      })
      // A terminal in line mode keeps Ctrl-C to itself.
      input.on("SIGINT", () => process.emit("SIGINT"))
      return input
    }),
    (input) => Effect.sync(() => input.close())
  )
  const refill = Effect.sync(() => {
    while (held.length > 0 && Queue.offerUnsafe(queue, held[0] ?? "")) held.shift()
    if (held.length > 0) return
    if (hasClosed) Queue.endUnsafe(queue)
    else input.resume()
  })
  return {
    take: Effect.tap(Queue.take(queue), () => refill),
    ask: Effect.sync(() => {
      if (isTerminal && !hasClosed) input.prompt(true)
    }),
    isTerminal
  }
})
