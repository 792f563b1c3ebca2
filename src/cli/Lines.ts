/** What a person types, or a pipe holds, line by line; and what is shown beside it. */
import { type Cause, Effect, Queue, type Scope } from "effect"
import { createInterface } from "node:readline"
import * as Editor from "./Editor.ts"
import * as Screen from "./Screen.ts"

export interface Lines {
  /** Ends with the input. */
  readonly take: Effect.Effect<string, Cause.Done>
  /** Asks for a line, where there is somebody to ask. */
  readonly prompt: (text?: string) => Effect.Effect<void>
  /** Whether a person types them. */
  readonly isPerson: boolean
  readonly screen: Screen.Screen
  /** A line that the person has to see, wherever the notes go. */
  readonly tell: (line: string) => Effect.Effect<void>
}

/** Lines that may wait; the input is read no further then. */
const CAPACITY = 100

const PROMPT = "> "

interface Input extends Screen.Place {
  readonly pause: () => void
  readonly resume: () => void
  readonly prompt: (text: string) => void
}

const put: Input["put"] = (text, output) => void process[output].write(text)

/** On a terminal notes go the way of the answer, which keeps them in order, unless they were sent elsewhere. */
const edited = (editor: Editor.Editor): Input => ({
  ...editor,
  put: (text, output) => (output === "stderr" && !process.stderr.isTTY ? put(text, output) : editor.write(text))
})

const read = ({ onClose, onLine }: Editor.Listener): Effect.Effect<Input, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => createInterface({ input: process.stdin }).on("line", onLine).on("close", onClose)),
      (input) => Effect.sync(() => input.close())
    ),
    (input) => ({
      pause: () => void input.pause(),
      resume: () => void input.resume(),
      prompt: (text) => (process.stdin.isTTY && process.stdout.isTTY ? put(text, "stdout") : undefined),
      put
    })
  )

export const make = Effect.fnUntraced(function* (
  history: ReadonlyArray<string> = []
): Effect.fn.Return<Lines, never, Scope.Scope> {
  const queue = yield* Queue.bounded<string, Cause.Done>(CAPACITY)
  /** A pause comes too late for the lines of the piece that was read. */
  const held: Array<string> = []
  let hasClosed = false
  const listener: Editor.Listener = {
    onLine: (line) => {
      if (!Queue.offerUnsafe(queue, line)) held.push(line)
      if (held.length > 0) input.pause()
    },
    onClose: () => {
      hasClosed = true
      if (held.length === 0) Queue.endUnsafe(queue)
    }
  }
  const input: Input = Editor.isPossible() ? edited(yield* Editor.make(listener, history)) : yield* read(listener)
  const refill = Effect.sync(() => {
    while (held.length > 0 && Queue.offerUnsafe(queue, held[0] ?? "")) held.shift()
    if (held.length > 0) return
    if (hasClosed) Queue.endUnsafe(queue)
    else input.resume()
  })
  const screen = Screen.over(input)
  return {
    take: Effect.tap(Queue.take(queue), () => refill),
    prompt: (text = PROMPT) => Effect.sync(() => (hasClosed ? undefined : input.prompt(text))),
    isPerson: process.stdin.isTTY,
    screen,
    tell: (line) =>
      process.stdin.isTTY && !process.stderr.isTTY && process.stdout.isTTY
        ? Effect.andThen(screen.endLine, screen.write(`${line}\n`))
        : screen.note(line)
  }
})
