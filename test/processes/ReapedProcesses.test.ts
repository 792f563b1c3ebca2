import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { spawn } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as ReapedProcesses from "../../layers/processes/ReapedProcesses.ts"
import { Processes, type Run } from "../../services/processes/Processes.ts"
import { isRunning, soon, writtenPids } from "../support/processes.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const run = (command: string, args: ReadonlyArray<string> = [], options: Partial<Run> = {}) =>
  Effect.flatMap(Processes, (processes) => processes.run({ command, args, ...options })).pipe(
    Effect.provide(ReapedProcesses.layer)
  )

const writeExecutable = (file: string, text: string) => {
  writeFileSync(file, text)
  chmodSync(file, 0o755)
}

const fixture = (name: string) => new URL(`../fixtures/tools/${name}`, import.meta.url).pathname

describe("ReapedProcesses", () => {
  it.live("gives exit code and both outputs", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* run("sh", ["-c", "echo out; echo err >&2; exit 3"]), {
        code: 3,
        signal: undefined,
        stdout: "out\n",
        stderr: "err\n"
      })
    })
  )

  it.live("passes arguments as they are: no shell reads them", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const marker = join(directory, "marker")
      const hostile = [
        `; touch ${marker}`,
        `$(touch ${marker})`,
        `\`touch ${marker}\``,
        `\n touch ${marker}\n`,
        `'"; touch ${marker} #`,
        `| touch ${marker}`,
        "-e",
        "--",
        "*",
        "$HOME",
        "a\tb",
        "ünïcödé",
        ""
      ]
      const { stdout } = yield* run("sh", ["-c", 'for a in "$@"; do printf "%s\\0" "$a"; done', "sh", ...hostile])
      assert.deepStrictEqual(stdout.split("\0").slice(0, -1), hostile)
      assert.isFalse(existsSync(marker))
    })
  )

  it.live("env-scrub: a child sees listed names of the server's environment, and no others", () =>
    Effect.gen(function* () {
      process.env["ESPALIER_CANARY"] = "secret"
      process.env["LISTED"] = "shown"
      const { stdout } = yield* run("env", [], { inherit: ["LISTED"], env: { OWN: "1" } })
      delete process.env["ESPALIER_CANARY"]
      delete process.env["LISTED"]
      assert.notInclude(stdout, "secret")
      assert.include(stdout, "LISTED=shown")
      assert.include(stdout, "OWN=1")
      const allowed = new Set(
        [
          // Inherited, then asked for, then set by a shell.
          "PATH HOME USER LOGNAME TMPDIR LANG LC_ALL LC_CTYPE TZ".split(" "),
          "LISTED OWN ESPALIER_CHILD".split(" "),
          "PWD OLDPWD SHLVL _".split(" ")
        ].flat()
      )
      const names = stdout
        .trim()
        .split("\n")
        .map((line) => line.split("=")[0] ?? "")
      assert.deepStrictEqual(
        names.filter((name) => !allowed.has(name)),
        []
      )
    })
  )

  it.live("keeps the end of an endless output, and shows all of it as it comes", () =>
    Effect.gen(function* () {
      let seen = 0
      const { code, stdout } = yield* run("sh", ["-c", "seq 1 200000; echo last"], {
        keep: 1000,
        onStdout: (chunk) => void (seen += chunk.length)
      })
      assert.strictEqual(code, 0)
      assert.strictEqual(stdout.length, 1000)
      assert.isTrue(stdout.endsWith("last\n"))
      assert.strictEqual(seen, 1_288_895 + "last\n".length)
    })
  )

  it.live("says when there is no such program", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(run("no-such-program")))._tag, "CommandMissing")
      assert.strictEqual((yield* Effect.flip(run("/etc/passwd")))._tag, "CommandMissing")
      assert.strictEqual((yield* Effect.flip(run("true", [], { cwd: "/no/such/place" })))._tag, "CommandNotStarted")
    })
  )

  it.live("does not wait for what a program leaves behind, and ends it", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run("sh", ["-c", "sleep 300 & echo $!"])
      assert.strictEqual(code, 0)
      assert.isFalse(isRunning(Number(stdout)))
    })
  )

  it.live("ends a program that will not, and its children, when the call is interrupted", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const pids = join(directory, "pids")
      const fiber = yield* Effect.forkChild(run(fixture("slow-git"), [], { env: { SLOW_GIT_PIDS: pids } }))
      yield* soon("three processes", () => writtenPids(pids).length === 3)
      assert.isTrue(writtenPids(pids).every(isRunning))
      const started = performance.now()
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(writtenPids(pids).filter(isRunning), [])
      assert.isBelow(performance.now() - started, 4_000)
    })
  )

  it.live("leaves no survivor when the server is killed in the middle of a clone", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const pids = join(directory, "pids")
      const scratch = join(directory, "scratch")
      mkdirSync(join(directory, "bin"))
      mkdirSync(join(directory, "home"))
      // The child's environment holds listed names only, so the fixture learns its file from its wrapper.
      symlinkSync(fixture("slow-git"), join(directory, "bin/slow-git"))
      writeExecutable(join(directory, "bin/git"), `#!/bin/sh\nSLOW_GIT_PIDS='${pids}' exec slow-git "$@"\n`)
      const server = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, [fixture("clone-forever.ts"), "https://127.0.0.1:9/x.git", scratch], {
            env: { PATH: `${join(directory, "bin")}:${process.env["PATH"]}`, HOME: join(directory, "home") },
            stdio: "ignore"
          })
        ),
        (server) => Effect.sync(() => server.kill("SIGKILL"))
      )
      yield* soon("three processes", () => writtenPids(pids).length === 3)
      assert.strictEqual(readdirSync(scratch).filter((name) => name.startsWith(`${server.pid}-`)).length, 1)
      assert.isTrue(writtenPids(pids).every(isRunning))
      server.kill("SIGKILL")
      yield* soon("no survivor", () => !writtenPids(pids).some(isRunning), 3)
    })
  )

  const staying = new URL("../fixtures/processes-that-stay.sh", import.meta.url).pathname

  it.live("worker-hang: what ignores being asked to stop is killed a second later", () =>
    Effect.gen(function* () {
      const started = performance.now()
      const outcome = yield* run("sh", ["-c", "trap '' TERM; while :; do sleep 1; done"]).pipe(
        Effect.timeoutOption("300 millis")
      )
      assert.strictEqual(outcome._tag, "None")
      // A second, and what a loaded machine adds.
      assert.isBelow(performance.now() - started, 4_000)
    })
  )

  it.live("worker-tree: children, orphans and other sessions are gone two seconds after an abort", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const pids = join(directory, "pids")
      const fiber = yield* Effect.forkChild(run(staying, [pids]))
      yield* soon("six processes", () => writtenPids(pids).length === 6)
      assert.isTrue(writtenPids(pids).every(isRunning))
      const started = performance.now()
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(writtenPids(pids).filter(isRunning), [])
      assert.isBelow(performance.now() - started, 4_000)
    })
  )

  it.live("worker-tree: what a program forks while it is being killed is killed too", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const pids = join(directory, "pids")
      const forking = `trap '' TERM; echo $$ >> '${pids}'; while :; do setsid sh -c 'echo $$ >> "$0"; trap "" TERM; sleep 2; sleep 300' '${pids}' & sleep 0.05; done`
      const fiber = yield* Effect.forkChild(run("setsid", ["sh", "-c", forking]))
      yield* soon("five processes", () => writtenPids(pids).length > 5)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(writtenPids(pids).filter(isRunning), [])
    })
  )

  it.live("worker-tree: nobody survives a server that is killed, neither of a run nor of what it has open", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const pids = ["run", "opened"].map((name) => join(directory, name))
      const server = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, [new URL("../fixtures/run-forever.ts", import.meta.url).pathname, staying, ...pids], {
            stdio: "ignore"
          })
        ),
        (server) => Effect.sync(() => server.kill("SIGKILL"))
      )
      const all = () => pids.flatMap(writtenPids)
      yield* soon("twelve processes", () => all().length === 12)
      assert.isTrue(all().every(isRunning))
      server.kill("SIGKILL")
      // Two seconds, and what a loaded machine adds.
      yield* soon("no survivor", () => !all().some(isRunning), 4)
    })
  )
})
