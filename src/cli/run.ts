/** Runs the command line of this process: its arguments, its signals, its exit status. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, Logger } from "effect"
import { CliOutput, Command } from "effect/cli"
import { version } from "../version.ts"
import { agents } from "./agents.ts"
import { breakers } from "./breakers.ts"
import { chat } from "./chat.ts"
import { events } from "./events.ts"
import * as Failure from "./Failure.ts"
import { mcp } from "./mcp.ts"
import { pool } from "./pool.ts"
import { prompt } from "./prompt.ts"
import { root } from "./Root.ts"
import { serve } from "./serve.ts"
import { session } from "./session.ts"
import * as Signals from "./Signals.ts"
import { tool } from "./tool.ts"
import { kill, tree } from "./tree.ts"
import { worker } from "./worker.ts"

const espalier = root.pipe(
  Command.withSubcommands([serve, chat, prompt, session, tool, worker, events, pool, tree, kill, agents, breakers, mcp])
)

/** Help is printed when it is asked for; for a mistake one sentence is enough. */
const presenter: CliOutput.Presenter = {
  present: (event) => (event._tag === "InvalidInvocation" ? Effect.void : CliOutput.defaultPresenter.present(event))
}

export const run = (args: ReadonlyArray<string>): void => {
  const program = Command.runWith(espalier, { version })(args).pipe(
    Effect.provide([NodeServices.layer, CliOutput.layerPresenter(presenter), Layer.succeed(Logger.LogToStderr, true)])
  )
  let isRead = true
  const stop = Signals.run(program, (exit, signal) => {
    const { error, status } = Failure.ofExit(exit, Signals.statusOf(signal))
    if (error !== undefined) process.stderr.write(`${Failure.render(error, args.includes("--json"))}\n`)
    // Waits until all that was printed has been handed over.
    process.stdout.write("", () => process.exit(isRead ? status : 0))
  })
  // The reader of a pipe may leave before all is written: nothing more is to be done for it, in order.
  const onError = ({ code }: NodeJS.ErrnoException) => {
    if (code !== "EPIPE") process.exit(1)
    if (!isRead) return
    isRead = false
    stop("SIGTERM")
  }
  process.stdout.on("error", onError)
  process.stderr.on("error", onError)
}
