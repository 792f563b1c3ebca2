/**
 * Child processes that never outlive what started them.
 *
 * A command runs as argv, without a shell in between, in a process group of its own, with an environment of listed
 * names only. However it ends (done, failed, interrupted, or the whole server killed) its group, and whatever left the
 * group but still carries the mark of the child in its environment, is asked to stop; what is there a second later is
 * killed.
 *
 * It is the only way to start a process: no other module may.
 */
import { Context, Data, type Effect, type Scope, type Stream } from "effect"

/** The program is not on the server's PATH. */
export class CommandMissing extends Data.TaggedError("CommandMissing")<{ readonly command: string }> {}

/** It could not be started: too many processes, no memory, a working directory that is not there. */
export class CommandNotStarted extends Data.TaggedError("CommandNotStarted")<{
  readonly command: string
  readonly detail: string
}> {}

/** It has ended, or has closed its input, and takes nothing more. */
export class InputClosed extends Data.TaggedError("InputClosed")<{ readonly command: string }> {}

export interface Command {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd?: string | undefined
  /** Set in the child, over what it inherits. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Names the child inherits besides the few that any program needs (path, home, locale, time zone, temporary files). */
  readonly inherit?: ReadonlyArray<string> | undefined
}

/** A command that is run to its end. */
export interface Run extends Command {
  /** Most bytes kept of each output: the last ones. Default 64 KiB. */
  readonly keep?: number | undefined
  /** Sees all output as it comes. Must be quick. */
  readonly onStdout?: ((chunk: Uint8Array) => void) | undefined
  readonly onStderr?: ((chunk: Uint8Array) => void) | undefined
}

/** How a process ended. */
export interface Status {
  /** Undefined when a signal ended it. */
  readonly code: number | undefined
  readonly signal: string | undefined
}

export interface Exit extends Status {
  /** The last of what it wrote. */
  readonly stdout: string
  readonly stderr: string
}

/** A process that is talked to while it runs. */
export interface Process {
  readonly pid: number
  /** Waits until the process has taken it, or the system for it: one chunk at a time, and nothing piles up here. */
  readonly write: (chunk: Uint8Array) => Effect.Effect<void, InputClosed>
  /** Closes its input: for many programs the sign to end. */
  readonly closeInput: Effect.Effect<void>
  /** What it writes; what nobody reads makes it wait. To be read once. Ends when the process and its children have. */
  readonly stdout: Stream.Stream<Uint8Array>
  /** The last 64 KiB that it has written there so far. */
  readonly stderr: Effect.Effect<string>
  /** Waits for its end. */
  readonly exit: Effect.Effect<Status>
}

export class Processes extends Context.Service<
  Processes,
  {
    /** Runs to its end. Whatever exit code it has is a success of running it. */
    readonly run: (command: Run) => Effect.Effect<Exit, CommandMissing | CommandNotStarted>
    /** Runs for as long as the scope, or until it ends by itself; closing the scope stops it and all it started. */
    readonly open: (command: Command) => Effect.Effect<Process, CommandMissing | CommandNotStarted, Scope.Scope>
  }
>()("espalier/processes/Processes") {}
