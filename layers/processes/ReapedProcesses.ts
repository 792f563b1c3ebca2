/**
 * `Processes` with a reaper beside each child (see `Reaper.ts`), so that a child does not outlive us even when we are
 * killed. A child begins to run only once its reaper does: there is no moment in which it could be left behind.
 */
import { NodeStream } from "@effect/platform-node"
import { Deferred, Effect, Exit as EffectExit, Layer, Scope, Semaphore, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { type ChildProcess, spawn } from "node:child_process"
import { statSync } from "node:fs"
import { type Readable, Writable } from "node:stream"
import {
  type Command,
  CommandMissing,
  CommandNotStarted,
  type Exit,
  InputClosed,
  type Process,
  Processes,
  type Run,
  type Status
} from "../../services/processes/Processes.ts"
import { environmentOf, locate } from "./Program.ts"
import * as Reaper from "./Reaper.ts"
import { makeTail } from "./Tail.ts"

/** Waits for the word on descriptor 3; when the pipe closes without one, nobody is there any more. */
const gate = 'read -r word <&3 || exit 125; exec 3<&-; exec "$@"'

/** Bytes kept of an output by default. */
const keep = 64 * 1024

interface Child {
  readonly process: ChildProcess
  readonly stdout: Readable
  readonly stderr: Readable
}

const statusOf = (child: ChildProcess): Status => ({
  code: child.exitCode ?? undefined,
  signal: child.signalCode ?? undefined
})

/** Starts the child with its reaper; when the scope closes, nothing of it is left. `prepare` sees it before it runs. */
const launch = Effect.fnUntraced(function* (
  command: Command,
  stdin: "ignore" | "pipe",
  prepare: (child: Child) => void
) {
  const environment = environmentOf(command)
  const path = locate(command.command, environment["PATH"] ?? "/usr/bin:/bin")
  if (path === undefined) return yield* new CommandMissing({ command: command.command })
  const { cwd } = command
  if (cwd !== undefined && statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true) {
    const detail = `its working directory ${cwd} does not exist`
    return yield* new CommandNotStarted({ command: command.command, detail })
  }
  const mark = Array.from(SecureRandom.randomBytesUnsafe(16), (byte) => byte.toString(16).padStart(2, "0")).join("")
  return yield* Effect.uninterruptible(
    Effect.gen(function* () {
      const notStarted = (detail: string) => new CommandNotStarted({ command: command.command, detail })
      const process = yield* Effect.try({
        try: () =>
          spawn(Reaper.shell, ["-c", gate, command.command, path, ...command.args], {
            detached: true,
            cwd: command.cwd,
            env: { ...environment, [Reaper.markName]: mark },
            stdio: [stdin, "pipe", "pipe", "pipe"]
          }),
        catch: (error) => notStarted(error instanceof Error ? error.message : String(error))
      })
      process.on("error", () => undefined)
      // There are none when the system had no descriptors left.
      const pipes: ChildProcess["stdio"] | undefined = process.stdio
      const { stderr, stdout } = process
      const word = pipes?.[3]
      if (!stdout || !stderr || !(word instanceof Writable)) return yield* notStarted("it got no pipes to talk through")
      for (const pipe of [stdout, stderr, word]) pipe.on("error", () => undefined)
      prepare({ process, stdout, stderr })
      const group = yield* Reaper.spawned(process, command.command)
      // Without the word the child ends by itself.
      yield* Reaper.guard(group, mark, command.command).pipe(Effect.onError(() => Effect.sync(() => word.destroy())))
      word.end("go\n")
      return { process, stdout, stderr, pid: group }
    })
  )
})

const run = Effect.fn("Processes.run")(function* (command: Run) {
  const stdout = makeTail(command.keep ?? keep)
  const stderr = makeTail(command.keep ?? keep)
  const closed = yield* Deferred.make<void>()
  const child = yield* Effect.scoped(
    Effect.gen(function* () {
      const child = yield* launch(command, "ignore", (child) => {
        child.stdout.on("data", (chunk: Uint8Array) => {
          stdout.add(chunk)
          command.onStdout?.(chunk)
        })
        child.stderr.on("data", (chunk: Uint8Array) => {
          stderr.add(chunk)
          command.onStderr?.(chunk)
        })
        child.process.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
      })
      yield* Reaper.exited(child.process)
      // What it wrote last may still be in the pipe; what it left running may hold the pipe open for ever.
      yield* Deferred.await(closed).pipe(Effect.timeoutOption("500 millis"))
      return child
    })
  )
  yield* Deferred.await(closed).pipe(Effect.timeoutOption("500 millis"))
  child.stdout.destroy()
  child.stderr.destroy()
  const exit: Exit = { ...statusOf(child.process), stdout: stdout.text(), stderr: stderr.text() }
  return exit
})

/** Returns when the pipe can take more, or will never again. */
const drained = (input: Writable): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (!input.writableNeedDrain || input.destroyed) return resume(Effect.void)
    const done = () => resume(Effect.void)
    input.once("drain", done).once("close", done)
    return Effect.sync(() => input.off("drain", done).off("close", done))
  })

const open = Effect.fn("Processes.open")(function* (command: Command) {
  const stderr = makeTail(keep)
  const life = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
  const child = yield* launch(command, "pipe", (child) => {
    child.stderr.on("data", stderr.add)
    child.process.stdin?.on("error", () => undefined)
  }).pipe(Scope.provide(life))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      child.process.stdin?.destroy()
      child.stdout.destroy()
      child.stderr.destroy()
    })
  )
  // What it leaves running would hold its output open, and be nobody's.
  yield* Reaper.exited(child.process).pipe(
    Effect.andThen(Effect.uninterruptible(Scope.close(life, EffectExit.void))),
    Effect.forkScoped
  )

  const input = child.process.stdin as Writable
  const turn = yield* Semaphore.make(1)
  const closed = Effect.suspend(() => new InputClosed({ command: command.command }))
  const process: Process = {
    pid: child.pid,
    write: (chunk) =>
      drained(input).pipe(
        Effect.andThen(
          Effect.callback<void, InputClosed>((resume) => {
            if (!input.writable) return resume(closed)
            input.write(chunk, (error) => resume(error ? closed : Effect.void))
          })
        ),
        turn.withPermits(1)
      ),
    closeInput: Effect.sync(() => void input.end()),
    stdout: NodeStream.fromReadable({ evaluate: () => child.stdout }).pipe(Stream.catch(() => Stream.empty)),
    stderr: Effect.sync(stderr.text),
    exit: Effect.map(Reaper.exited(child.process), () => statusOf(child.process))
  }
  return process
})

export const make = Effect.sync(() => Processes.of({ run, open }))

export const layer = Layer.effect(Processes, make)
