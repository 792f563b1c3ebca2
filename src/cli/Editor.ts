/**
 * The line that is typed on, at the bottom of a terminal. It is there once it is asked for, or somebody types; what is
 * written meanwhile comes above it, where it would stand without it.
 */
import { Effect, type Scope } from "effect"
import { clearScreenDown, createInterface, cursorTo, type Key, moveCursor } from "node:readline"
import * as Paste from "./Paste.ts"
import * as Terminal from "./Terminal.ts"

export interface Editor {
  readonly write: (text: string) => void
  /** Whether what was written has not come to the end of its line. */
  readonly isMidLine: () => boolean
  /** Asks for a line. */
  readonly prompt: (text: string) => void
  /** Reads no further for a while. */
  readonly pause: () => void
  readonly resume: () => void
}

export interface Listener {
  readonly onLine: (line: string) => void
  readonly onClose: () => void
}

/** Sequences that a terminal without them shows as they are would be in the way. */
export const isPossible = (): boolean =>
  process.stdin.isTTY && Terminal.isTerminal("stdout") && process.env["TERM"] !== "dumb"

/** At the end of a line: it goes on in the next one. */
const CONTINUED = /\\$/
const MORE = ". "

export const make = (
  { onClose, onLine }: Listener,
  /** What was typed earlier, the newest first. */
  history: ReadonlyArray<string>
): Effect.Effect<Editor, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const { stdout } = process
        const keys = Paste.keyboard()
        const before = stdout.listenerCount("resize")
        const input = createInterface({
          input: keys,
          output: stdout,
          terminal: true,
          history: history.map(Paste.fold),
          removeHistoryDuplicates: true
        })
        stdout.write(Paste.ask)
        // `readline` would draw its line anew wherever the cursor is.
        for (const listener of stdout.listeners("resize").slice(before)) stdout.off("resize", listener as () => void)
        let isShown = false
        let hasClosed = false
        let text = "> "
        let begun = ""
        /** Where the line of the answer ends that is not complete, and where it ended above the typed line. */
        let column = 0
        let above = 0
        /** That line: a terminal that becomes narrower or wider folds it anew. */
        let tail = ""
        /** A full row: the typed line stands right below it, and so would whatever comes next. */
        let isFull = false

        const show = () => {
          above = column
          isFull = column === stdout.columns
          if (column > 0) stdout.write("\n")
          column = 0
          isShown = true
          // Its rows are gone, or above.
          Object.assign(input, { prevRows: 0 })
          input.setPrompt(begun === "" ? text : MORE)
          input.prompt(true)
        }
        const hide = () => {
          moveCursor(stdout, 0, -input.getCursorPos().rows)
          cursorTo(stdout, 0)
          clearScreenDown(stdout)
          isShown = false
          column = isFull ? 0 : above
          if (column === 0) return
          moveCursor(stdout, 0, -1)
          cursorTo(stdout, column)
        }
        const write = (written: string) => {
          const wasShown = isShown
          stdout.cork()
          if (wasShown) hide()
          stdout.write(wasShown && isFull && written.startsWith("\n") ? written.slice(1) : written)
          column = Terminal.columnAfter(column, written, stdout.columns)
          tail = written.includes("\n") ? written.slice(written.lastIndexOf("\n") + 1) : tail + written
          if (wasShown) show()
          stdout.uncork()
        }

        input.on("line", (line) => {
          isShown = false
          column = 0
          tail = ""
          begun += line.replace(CONTINUED, "")
          if (CONTINUED.test(line)) {
            begun += "\n"
            return show()
          }
          const whole = Paste.unfold(begun)
          begun = ""
          onLine(whole)
        })
        const onResize = () => {
          const folded = Terminal.columnAfter(0, tail, stdout.columns)
          if (!isShown) {
            column = folded
            return
          }
          if (above > 0) above = folded
          isFull = above === stdout.columns
          hide()
          show()
        }
        stdout.on("resize", onResize)
        input.on("close", () => {
          hasClosed = true
          stdout.off("resize", onResize)
          stdout.write(Paste.stop)
          if (isShown) stdout.write("\n")
          isShown = false
          process.stdin.unpipe(keys)
          process.stdin.pause()
          onClose()
        })
        // A terminal in line mode keeps Ctrl-C to itself.
        input.on("SIGINT", () => {
          if (input.line === "" && begun === "") return process.emit("SIGINT", "SIGINT")
          begun = ""
          input.write(null, { ctrl: true, name: "e" })
          input.write(null, { ctrl: true, name: "u" })
          return true
        })
        // Before `readline` shows what was typed.
        keys.prependListener("keypress", (_character: unknown, key: Key) => {
          const isLine = key.name === "return" || key.name === "enter"
          if (!isShown && !hasClosed && key.ctrl !== true && !isLine) show()
        })
        const editor: Editor = {
          write,
          isMidLine: () => (isShown ? above : column) > 0,
          prompt: (next: string) => {
            if (hasClosed) return
            text = next
            if (isShown) hide()
            show()
          },
          pause: () => void input.pause(),
          resume: () => void (hasClosed || input.resume())
        }
        return { editor, close: () => input.close() }
      }),
      ({ close }) => Effect.sync(close)
    ),
    ({ editor }) => editor
  )
