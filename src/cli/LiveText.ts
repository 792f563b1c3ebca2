/** Text that redraws itself in place on a terminal. What does not fit below each other or in a line is cut. */
import { Effect } from "effect"

const write = (text: string) => Effect.sync(() => void process.stdout.write(text))

const escape = "\u001b["
const hideCursor = `${escape}?25l`
const showCursor = `${escape}?25h`
/** A line that is too long stays one line, so that lines can be counted. */
const cutLines = `${escape}?7l`
const wrapLines = `${escape}?7h`

/** Draws a text where the one before it stands, which stays there when the scope closes. */
export const make = Effect.gen(function* () {
  let drawn = 0
  // The terminal has shown the Ctrl-C that ends it.
  yield* Effect.acquireRelease(write(hideCursor + cutLines), () => write(`\r${escape}K${wrapLines}${showCursor}`))
  return (text: string) =>
    Effect.suspend(() => {
      const all = text.split("\n")
      const room = Math.max(2, (process.stdout.rows || 24) - 1)
      const hidden = all.length - room + 1
      const lines = all.length > room ? [...all.slice(0, room - 1), `… ${hidden} more lines`] : all
      const back = drawn === 0 ? "" : `${escape}${drawn}A\r`
      drawn = lines.length
      return write(`${back}${lines.map((line) => `${line}${escape}K\n`).join("")}${escape}J`)
    })
})
