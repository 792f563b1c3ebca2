/**
 * `Processes` with a reaper beside each child: a shell of a megabyte that waits for a pipe to us to close. It closes when
 * the call ends and when we die, however we die; either way the reaper then stops the child's process group, and on
 * systems with `/proc` whatever left the group but still carries the child's mark in its environment.
 *
 * A child begins to run only once its reaper does, so there is no moment in which it could be left behind.
 */
import { Deferred, Effect, Layer, type Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import { type ChildProcess, spawn } from "node:child_process"
import { accessSync, constants, statSync } from "node:fs"
import { delimiter, isAbsolute, join } from "node:path"
import type { Writable } from "node:stream"
import {
  type Child,
  type Command,
  CommandMissing,
  CommandNotStarted,
  type Exit,
  Processes
} from "../../services/tools/Processes.ts"

const shell = "/bin/sh"

/** Waits for the word on descriptor 3; when the pipe closes without one, nobody is there any more. */
const gate = 'read -r word <&3 || exit 125; exec 3<&-; exec "$@"'

/** Arguments: process group, mark, tenths of a second between asking and killing. */
const reaper = `
trap '' HUP INT QUIT TERM
echo ready
while read -r line; do :; done
marked() {
  [ -r /proc/self/environ ] || return
  for file in $(grep -ls "ESPALIER_CHILD=$2" /proc/[0-9]*/environ 2>/dev/null); do
    pid=\${file#/proc/}
    kill -s "$1" "\${pid%/environ}" 2>/dev/null
  done
}
there() { kill -s 0 -- "-$1" 2>/dev/null; }
kill -s TERM -- "-$1" 2>/dev/null
marked TERM "$2"
waited=0
while there "$1" && [ "$waited" -lt "$3" ]; do
  sleep 0.1 2>/dev/null || { sleep 1; waited=$((waited + 9)); }
  waited=$((waited + 1))
done
kill -s KILL -- "-$1" 2>/dev/null
marked KILL "$2"
`

/** Between SIGTERM and SIGKILL, in tenths of a second. */
const grace = 20

const inherited = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ"]

const environmentOf = (command: Command): Record<string, string> => {
  const environment: Record<string, string> = {}
  for (const name of [...inherited, ...(command.inherit ?? [])]) {
    const value = process.env[name]
    if (value !== undefined) environment[name] = value
  }
  return { ...environment, ...command.env }
}

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

const locate = (command: string, path: string): string | undefined =>
  isAbsolute(command)
    ? [command].find(isExecutable)
    : path
        .split(delimiter)
        .filter((directory) => isAbsolute(directory))
        .map((directory) => join(directory, command))
        .find(isExecutable)

/** Keeps the last bytes of an output. */
const makeTail = (limit: number) => {
  let kept: Array<Uint8Array> = []
  let size = 0
  return {
    add: (chunk: Uint8Array) => {
      kept.push(chunk)
      size += chunk.length
      if (size > limit * 2) {
        kept = [Buffer.concat(kept).subarray(-limit)]
        size = limit
      }
    },
    text: () => Buffer.concat(kept).subarray(-limit).toString("utf8")
  }
}

const hasExited = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

const exited = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (hasExited(child)) return resume(Effect.void)
    const done = () => resume(Effect.void)
    child.once("exit", done)
    return Effect.sync(() => child.off("exit", done))
  })

const spawned = (child: ChildProcess, command: string): Effect.Effect<number, CommandNotStarted> =>
  Effect.callback((resume) => {
    child.once("error", (error) => resume(Effect.fail(new CommandNotStarted({ command, detail: error.message }))))
    child.once("spawn", () => resume(Effect.succeed(child.pid ?? 0)))
  })

const killGroup = (group: number) =>
  Effect.sync(() => {
    try {
      process.kill(-group, "SIGKILL")
    } catch {
      // Nobody is left in it.
    }
  })

/** Starts the reaper of a process group; closing the scope sets it to work and waits until it has done it. */
const guard = (group: number, mark: string, command: string): Effect.Effect<void, CommandNotStarted, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(shell, ["-c", reaper, "reaper", String(group), mark, String(grace)], {
          detached: true,
          cwd: "/",
          env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
          stdio: ["pipe", "pipe", "ignore"]
        })
      ),
      (child) =>
        Effect.gen(function* () {
          child.stdin?.end()
          yield* exited(child).pipe(Effect.timeoutOption("6 seconds"))
          // It does nothing when the reaper did its work, and its work when something killed the reaper.
          yield* killGroup(group)
          child.kill("SIGKILL")
        })
    )
    child.stdin?.on("error", () => undefined)
    yield* spawned(child, command)
    yield* Effect.callback<void, CommandNotStarted>((resume) => {
      child.stdout?.once("data", () => resume(Effect.void))
      child.once("exit", () => resume(Effect.fail(new CommandNotStarted({ command, detail: "its reaper ended" }))))
    })
    child.stdout?.resume()
  })

interface Begun {
  readonly child: ChildProcess
  readonly closed: Deferred.Deferred<void>
  readonly exit: () => Exit
}

/** Starts a child below the scope; closing the scope stops it and all that it has started. */
const begin = Effect.fnUntraced(function* (command: Command, stdin: "ignore" | "pipe") {
  const environment = environmentOf(command)
  const path = locate(command.command, environment["PATH"] ?? "/usr/bin:/bin")
  if (path === undefined) return yield* new CommandMissing({ command: command.command })
  const mark = Array.from(SecureRandom.randomBytesUnsafe(16), (byte) => byte.toString(16).padStart(2, "0")).join("")
  const stdout = makeTail(command.keep ?? 64 * 1024)
  const stderr = makeTail(command.keep ?? 64 * 1024)
  const closed = yield* Deferred.make<void>()
  const child = yield* Effect.uninterruptible(
    Effect.gen(function* () {
      const child = spawn(shell, ["-c", gate, command.command, path, ...command.args], {
        detached: true,
        cwd: command.cwd,
        env: { ...environment, ESPALIER_CHILD: mark },
        stdio: [stdin, "pipe", "pipe", "pipe"]
      })
      const word = child.stdio[3] as Writable
      word.on("error", () => undefined)
      child.stdout?.on("data", (chunk: Uint8Array) => {
        // Whoever is talked to is heard as it speaks.
        if (stdin === "ignore") stdout.add(chunk)
        command.onStdout?.(chunk)
      })
      child.stderr?.on("data", (chunk: Uint8Array) => {
        stderr.add(chunk)
        command.onStderr?.(chunk)
      })
      child.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
      const group = yield* spawned(child, command.command)
      // Without the word the child ends by itself.
      yield* guard(group, mark, command.command).pipe(Effect.onError(() => Effect.sync(() => word.destroy())))
      word.end("go\n")
      return child
    })
  )
  const exit = (): Exit => ({
    code: child.exitCode ?? undefined,
    signal: child.signalCode ?? undefined,
    stdout: stdout.text(),
    stderr: stderr.text()
  })
  return { child, closed, exit } satisfies Begun
})

/** What it wrote last may still be in the pipe; what it left running may hold the pipe open for ever. */
const drained = ({ closed }: Begun) => Deferred.await(closed).pipe(Effect.timeoutOption("500 millis"))

const run = Effect.fn("Processes.run")(function* (command: Command) {
  const begun = yield* Effect.scoped(
    Effect.gen(function* () {
      const begun = yield* begin(command, "ignore")
      yield* exited(begun.child)
      yield* drained(begun)
      return begun
    })
  )
  yield* drained(begun)
  begun.child.stdout?.destroy()
  begun.child.stderr?.destroy()
  return begun.exit()
})

const open = Effect.fn("Processes.open")(function* (command: Command) {
  // Added first and so run last: when the child is gone, nothing of its pipes is left either.
  let begun: Begun | undefined
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const pipe of [begun?.child.stdin, begun?.child.stdout, begun?.child.stderr]) pipe?.destroy()
    })
  )
  begun = yield* begin(command, "pipe")
  const { child, exit } = begun
  const input = child.stdin
  // That it does not read any more is told by its exit, or by what it does not answer.
  input?.on("error", () => undefined)
  return {
    pid: child.pid ?? 0,
    write: (text, taken) => {
      input?.write(text, taken)
    },
    stderr: () => exit().stderr,
    exited: Effect.map(exited(child), exit)
  } satisfies Child
})

export const make = Effect.sync(() => Processes.of({ run, open }))

export const layer = Layer.effect(Processes, make)
