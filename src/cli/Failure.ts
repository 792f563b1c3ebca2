/** How a command that fails ends: one sentence on stderr, and an exit status that says which failure it was. */
import { Cause, Duration, type Exit, Predicate, Schema } from "effect"
import { CliError } from "effect/cli"
import { codeOf, errorCodes } from "../../services/gateway/ErrorCodes.ts"
import * as Terminal from "./Terminal.ts"

export { PermissionNeeded, TurnCancelled, TurnFailed } from "../TurnOutcome.ts"

/** The turn that was waited for took longer than it was given, and was cancelled. */
export class TurnTimedOut extends Schema.TaggedError<TurnTimedOut>()("TurnTimedOut", {
  timeout: Schema.Duration
}) {
  override get message() {
    return `there was no answer within ${Duration.format(this.timeout)}, and the turn was cancelled; give it more by --timeout`
  }
}

/** The worker that was waited for was cancelled, by somebody else. */
export class WorkerCancelled extends Schema.TaggedError<WorkerCancelled>()("WorkerCancelled", {
  reason: Schema.String
}) {
  override get message() {
    return `the worker was cancelled (${this.reason})`
  }
}

/** A message to an agent, and what became of it instead of being delivered. */
export class MessageNotDelivered extends Schema.TaggedError<MessageNotDelivered>()("MessageNotDelivered", {
  message: Schema.String
}) {}

/** What is wrong with the command line. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", { message: Schema.String }) {}

export interface Ending {
  readonly status: number
  readonly error?: { readonly code: string; readonly message: string }
}

const sentenceOf = (error: CliError.NonShowHelpErrors): string => {
  const sentence =
    error._tag === "InvalidValue"
      ? `${error.kind === "flag" ? `--${error.option}` : `<${error.option}>`} "${error.value}" cannot be used: ${error.expected.replace("Schema validation failed: ", "")}`
      : error.message
  return sentence.replaceAll(/\s+/g, " ").trim()
}

const fromError = (error: unknown): Ending => {
  if (CliError.isCliError(error)) {
    if (error._tag !== "ShowHelp") return fromError(new UsageError({ message: error.message }))
    const [first] = error.errors
    if (first === undefined) return { status: 0 }
    const help = `see "${error.commandPath.join(" ")} --help"`
    return fromError(new UsageError({ message: `${sentenceOf(first)}; ${help}` }))
  }
  const { code, exit } = codeOf(error)
  const own = Predicate.hasProperty(error, "code") && Predicate.isString(error.code) ? error.code : code
  const message =
    exit === errorCodes.InternalError.exit && !Predicate.isTagged(error, "InternalError")
      ? `this is a bug in espalier: ${error instanceof Error ? error.message : JSON.stringify(error)}`
      : error instanceof Error
        ? error.message
        : own
  return { status: exit, error: { code: own, message } }
}

/** What the end of a command means for its exit status, `interrupted` where a signal ended it. */
export const ofExit = (exit: Exit.Exit<unknown, unknown>, interrupted: number): Ending => {
  if (exit._tag === "Success") return { status: 0 }
  return Cause.hasInterruptsOnly(exit.cause) ? { status: interrupted } : fromError(Cause.squash(exit.cause))
}

/** The sentence, or its JSON. */
export const render = (error: NonNullable<Ending["error"]>, json: boolean): string =>
  json ? JSON.stringify({ error }) : `${Terminal.red("error:", "stderr")} ${Terminal.lines(error.message)}`
