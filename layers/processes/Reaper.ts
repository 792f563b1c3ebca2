/**
 * A shell of a megabyte beside a child, which waits for a pipe to us to close. It closes when the child is no longer
 * wanted and when we die, however we die; either way the reaper then stops the child's process group, and on systems
 * with `/proc` whatever left the group but still carries the child's mark in its environment.
 */
import { Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { CommandNotStarted } from "../../services/processes/Processes.ts"

export const shell = "/bin/sh"

/** The variable that carries a child's mark. */
export const markName = "ESPALIER_CHILD"

/**
 * Arguments: process group, mark, tenths of a second between asking and killing. What forks while it is being killed is
 * looked for again, up to twenty times. Processes that have ended but that nobody collects are not waited for.
 */
const script = `
trap '' HUP INT QUIT TERM
echo ready
while read -r line; do :; done
all() {
  found=
  kill -s "$1" -- "-$2" 2>/dev/null && found=group
  [ -r /proc/self/environ ] || return
  [ -z "$found" ] || grep -qsE "^[0-9]+ \\(.*\\) [^ZX] [0-9]+ $2 " /proc/[0-9]*/stat || found=
  for file in $(grep -lsz "^${markName}=$3\\$" /proc/[0-9]*/environ 2>/dev/null); do
    pid=\${file#/proc/}
    kill -s "$1" "\${pid%/environ}" 2>/dev/null && found=marked
  done
}
pause() { sleep 0.1 2>/dev/null || { sleep 1; waited=$((waited + 9)); }; waited=$((waited + 1)); }
waited=0
all TERM "$1" "$2"
while [ -n "$found" ] && [ "$waited" -lt "$3" ]; do
  pause
  all 0 "$1" "$2"
done
passes=0
while [ -n "$found" ] && [ "$passes" -lt 20 ]; do
  all KILL "$1" "$2"
  passes=$((passes + 1))
done
`

/** Between SIGTERM and SIGKILL, in tenths of a second. */
const grace = 10

/** How long a reaper may take, with a look at every process of the machine at each step. */
const patience = "6 seconds"

export const hasExited = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

export const exited = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (hasExited(child)) return resume(Effect.void)
    const done = () => resume(Effect.void)
    child.once("exit", done)
    return Effect.sync(() => child.off("exit", done))
  })

/** Its process id, which is that of its group too. */
export const spawned = (child: ChildProcess, command: string): Effect.Effect<number, CommandNotStarted> =>
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
export const guard = (
  group: number,
  mark: string,
  command: string
): Effect.Effect<void, CommandNotStarted, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(shell, ["-c", script, "reaper", String(group), mark, String(grace)], {
          detached: true,
          cwd: "/",
          env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
          stdio: ["pipe", "pipe", "ignore"]
        })
      ),
      (child) =>
        Effect.gen(function* () {
          child.stdin?.end()
          yield* exited(child).pipe(Effect.timeoutOption(patience))
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
