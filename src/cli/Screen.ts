/** Where a conversation is shown: what is said on stdout, what is done for it on stderr. */
import { Effect } from "effect"
import * as Terminal from "./Terminal.ts"

export interface Screen {
  /** A piece of the answer, as it is. */
  readonly write: (text: string) => Effect.Effect<void>
  /** A line about what is done. */
  readonly note: (line: string) => Effect.Effect<void>
  /** Ends the line of the answer, if it is not at its end. */
  readonly endLine: Effect.Effect<void>
}

type Output = "stdout" | "stderr"

export interface Place {
  readonly put: (text: string, output: Output) => void
  /** Known where others write there, too. */
  readonly isMidLine?: () => boolean
}

/** A line of notes never stands in the middle of a line of the answer. */
export const over = ({ isMidLine, put }: Place): Screen => {
  let wasMidLine = false
  const endLine = () => {
    if (isMidLine?.() ?? wasMidLine) put("\n", "stdout")
    wasMidLine = false
  }
  return {
    write: (text) =>
      Effect.sync(() => {
        if (text === "") return
        put(Terminal.lines(text), "stdout")
        wasMidLine = !text.endsWith("\n")
      }),
    note: (line) =>
      Effect.sync(() => {
        if (Terminal.isTerminal("stdout")) endLine()
        put(`${Terminal.dim(Terminal.lines(line), "stderr")}\n`, "stderr")
      }),
    endLine: Effect.sync(endLine)
  }
}

/** On this process's own outputs. */
export const plain = (): Screen => over({ put: (text, output) => void process[output].write(text) })

/** For programs, which read the events themselves. */
export const silent: Screen = { write: () => Effect.void, note: () => Effect.void, endLine: Effect.void }
