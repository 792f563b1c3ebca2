/**
 * SIGINT, SIGTERM and SIGHUP. The first one ends the command: by interrupting it, or, for one that has said so, by letting it
 * come to its own end. A second one, or too much time, ends the process at once.
 */
import { Context, Deferred, Effect, type Exit, type Scope } from "effect"

export class Signals extends Context.Service<
  Signals,
  {
    /** Returns at the first signal, which then interrupts nothing. */
    readonly first: Effect.Effect<void>
    /** Asked at each Ctrl-C before anything else: whether it was all that it was for. */
    readonly intercept: (handle: () => boolean) => Effect.Effect<void, never, Scope.Scope>
  }
>()("espalier/cli/Signals") {}

/** Longest that a command may take to end after the first signal. */
const patience = "14 seconds"

const numbers: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }

/** The exit status of what a signal ended. */
export const statusOf = (signal: NodeJS.Signals): number => numbers[signal] ?? 1

/** Runs a program as this process's own, and hands its exit on, with what it was ended by. Gives what ends it as well. */
export const run = <A, E>(
  program: Effect.Effect<A, E, Signals>,
  end: (exit: Exit.Exit<A, E>, signal: NodeJS.Signals) => void
): ((signal: NodeJS.Signals) => void) => {
  const arrived = Deferred.makeUnsafe<void>()
  const handlers = new Set<() => boolean>()
  let isExpected = false
  let isEnding = false
  let by: NodeJS.Signals = "SIGINT"
  const signals = Signals.of({
    first: Effect.suspend(() => {
      isExpected = true
      return Deferred.await(arrived)
    }),
    intercept: (handle) =>
      Effect.acquireRelease(
        Effect.sync(() => void handlers.add(handle)),
        () => Effect.sync(() => handlers.delete(handle))
      )
  })
  const fiber = Effect.runFork(Effect.provideService(program, Signals, signals))
  const onSignal = (signal: NodeJS.Signals) => {
    if (!isEnding && signal === "SIGINT" && Array.from(handlers).some((handle) => handle())) return
    if (isEnding) process.exit(statusOf(signal))
    isEnding = true
    by = signal
    Effect.runFork(
      Effect.andThen(
        Effect.sleep(patience),
        Effect.sync(() => {
          process.stderr.write("it took too long to stop, and was cut off; nothing that was acknowledged is lost\n")
          process.exit(1)
        })
      )
    )
    if (isExpected) Deferred.doneUnsafe(arrived, Effect.void)
    else fiber.interruptUnsafe(fiber.id)
  }
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal)
  fiber.addObserver((exit) => end(exit, by))
  return onSignal
}
