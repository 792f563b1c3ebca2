/**
 * SIGINT and SIGTERM. The first one ends the command: by interrupting it, or, for one that has said so, by letting it
 * come to its own end. A second one, or too much time, ends the process at once.
 */
import { Context, Deferred, Effect, type Exit, type Scope } from "effect"

export class Signals extends Context.Service<
  Signals,
  {
    /** Returns at the first signal, which then interrupts nothing. */
    readonly first: Effect.Effect<void>
    /** Asked at each signal before anything else: whether it was all that the signal was for. */
    readonly intercept: (handle: () => boolean) => Effect.Effect<void, never, Scope.Scope>
  }
>()("espalier/cli/Signals") {}

/** Longest that a command may take to end after the first signal. */
const patience = "14 seconds"

const numbers: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 130, SIGTERM: 143 }

/** Runs a program as this process's own, and hands its exit on. */
export const run = <A, E>(program: Effect.Effect<A, E, Signals>, end: (exit: Exit.Exit<A, E>) => void): void => {
  const arrived = Deferred.makeUnsafe<void>()
  const handlers = new Set<() => boolean>()
  let isExpected = false
  let isEnding = false
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
    if (!isEnding && Array.from(handlers).some((handle) => handle())) return
    if (isEnding) process.exit(numbers[signal] ?? 1)
    isEnding = true
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
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  fiber.addObserver(end)
}
