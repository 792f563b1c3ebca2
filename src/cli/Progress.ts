/** Progress of a worker on stderr: a bar that redraws itself on a terminal, a line for each change in a pipe. */
import { Clock, Effect, Schedule } from "effect"
import * as Terminal from "./Terminal.ts"

export interface Progress {
  readonly show: (percent: number, stage: string) => Effect.Effect<void>
  /** Takes the bar away and leaves a last line. */
  readonly end: (line: string) => Effect.Effect<void>
}

const write = (text: string) => Effect.sync(() => void process.stderr.write(text))

const bar = (percent: number, cells: number): string => {
  const eighths = Math.round((percent / 100) * cells * 8)
  const full = Math.floor(eighths / 8)
  const part = eighths % 8 === 0 ? "" : String.fromCharCode(0x2590 - (eighths % 8))
  return (
    Terminal.green("█".repeat(full) + part, "stderr") + Terminal.dim("░".repeat(cells - full - part.length), "stderr")
  )
}

/** Percent that make a new line in a pipe. */
const step = 5

/** `quiet` shows nothing: for `--json` in a pipe. */
export const make = Effect.fnUntraced(function* (name: string, quiet: boolean) {
  const started = yield* Clock.currentTimeMillis
  const isBar = Terminal.isTerminal("stderr")
  let percent = 0
  let stage = ""
  let said = 0

  const draw = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const text = `${String(Math.round(percent)).padStart(3)} %  ${Terminal.plain(stage)}  ${Terminal.duration(now - started)}`
    const room = Terminal.width("stderr") - Terminal.columns(name) - Terminal.columns(text) - 5
    const shown = room < 8 ? "" : `${bar(percent, Math.min(40, room))}  `
    return write(`\r\u001b[2K${name}  ${shown}${text}`)
  })
  if (isBar && !quiet) {
    yield* Effect.addFinalizer(() => write("\r\u001b[2K\u001b[?25h"))
    yield* write("\u001b[?25l")
    yield* draw.pipe(Effect.repeat(Schedule.spaced("200 millis")), Effect.forkScoped)
  }

  return {
    show: (nextPercent, nextStage) =>
      Effect.suspend(() => {
        const isNews = nextStage !== stage || nextPercent >= said + step
        percent = nextPercent
        stage = nextStage
        if (quiet || (!isNews && !isBar)) return Effect.void
        said = percent
        return isBar ? draw : write(`${name}  ${String(Math.round(percent)).padStart(3)} %  ${Terminal.plain(stage)}\n`)
      }),
    end: (line) => (quiet ? Effect.void : write(`${isBar ? "\r\u001b[2K" : ""}${line}\n`))
  } satisfies Progress
})
