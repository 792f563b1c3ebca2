/**
 * Child processes that never outlive what started them.
 *
 * A command runs as argv, without a shell in between, in a process group of its own, with an environment of listed
 * names only. However the call ends (done, failed, interrupted, or the whole server killed) the group is asked to
 * stop, and what is still there two seconds later is killed.
 */
import { Context, Data, type Effect, type Scope } from "effect"

/** The program is not on the server's PATH, or the working directory does not exist. */
export class CommandMissing extends Data.TaggedError("CommandMissing")<{ readonly command: string }> {}

/** The system could not start it: too many processes, no memory. */
export class CommandNotStarted extends Data.TaggedError("CommandNotStarted")<{
  readonly command: string
  readonly detail: string
}> {}

export interface Command {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd?: string | undefined
  /** Set in the child, over what it inherits. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Names the child inherits besides the few that any program needs (path, home, locale, time zone, temporary files). */
  readonly inherit?: ReadonlyArray<string> | undefined
  /** Most bytes kept of each output: the last ones. Default 64 KiB. */
  readonly keep?: number | undefined
  /** Sees all output as it comes. Must be quick. */
  readonly onStdout?: ((chunk: Uint8Array) => void) | undefined
  readonly onStderr?: ((chunk: Uint8Array) => void) | undefined
}

export interface Exit {
  /** Undefined when a signal ended it. */
  readonly code: number | undefined
  readonly signal: string | undefined
  /** The last of what it wrote. */
  readonly stdout: string
  readonly stderr: string
}

/** A child that is talked to while it runs. What it writes goes to `onStdout` and `onStderr`. */
export interface Child {
  readonly pid: number
  /** Hands text to its standard input; `taken` is called once the system has it, or will not take it. */
  readonly write: (text: string, taken: () => void) => void
  /** The last of what it wrote to its standard error. */
  readonly stderr: () => string
  /** Returns when it has ended, however that was. */
  readonly exited: Effect.Effect<Exit>
}

export class Processes extends Context.Service<
  Processes,
  {
    /** Runs to its end. Whatever exit code it has is a success of running it. */
    readonly run: (command: Command) => Effect.Effect<Exit, CommandMissing | CommandNotStarted>
    /** Starts it and returns; it is stopped, with all that it has started, when the scope closes. */
    readonly open: (command: Command) => Effect.Effect<Child, CommandMissing | CommandNotStarted, Scope.Scope>
  }
>()("espalier/tools/Processes") {}
