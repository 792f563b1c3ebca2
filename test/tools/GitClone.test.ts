import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as AnalyzeCodebase from "../../layers/tools/AnalyzeCodebase.ts"
import * as ReapedProcesses from "../../layers/processes/ReapedProcesses.ts"
import { CodebaseAnalysis } from "../../services/tools/CodebaseAnalysis.ts"
import { lastLine, progressOf, redact } from "../../services/tools/gitOutput.ts"
import { CommandMissing, Processes } from "../../services/processes/Processes.ts"
import { callTool, type Report, reporting, stages } from "../support/callTool.ts"
import { isRunning, soon, writtenPids } from "../support/processes.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { writeTree } from "../support/writeTree.ts"

const git = (cwd: string, ...args: ReadonlyArray<string>) =>
  execFileSync("git", ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", ...args], {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" }
  }).trim()

/** A repository with two commits, and what a hostile one would bring. */
const repository = Effect.gen(function* () {
  const directory = join(yield* temporaryDirectory, "a repository; $(touch x)")
  mkdirSync(directory)
  writeTree(directory, {
    "src/a.ts": "// a\nexport const a = () => 1\n",
    ".gitattributes": "*.big filter=lfs diff=lfs merge=lfs -text\n",
    "b.big": "version https://git-lfs.github.com/spec/v1\n",
    "package.json": '{"dependencies":{"a":"1"}}\n'
  })
  symlinkSync("/etc/passwd", join(directory, "passwd.ts"))
  git(directory, "init", "-q")
  git(directory, "add", "-A")
  git(directory, "commit", "-qm", "one")
  writeTree(directory, { "src/b.ts": "export const b = 1\n" })
  git(directory, "add", "-A")
  git(directory, "commit", "-qm", "two")
  return directory
})

const clone = (scratch: string, repoUrl: string, reports?: Array<Report>) =>
  Effect.gen(function* () {
    const tool = yield* AnalyzeCodebase.make({ scratch })
    return yield* callTool(tool, CodebaseAnalysis, { repoUrl }, reports)
  }).pipe(Effect.provide(ReapedProcesses.layer))

describe("analyze_codebase of a repository", () => {
  it.live("clones a path on the server, analyses its newest commit and leaves nothing behind", () =>
    Effect.gen(function* () {
      const source = yield* repository
      const scratch = join(yield* temporaryDirectory, "scratch")
      const reports: Array<Report> = []
      const found = yield* clone(scratch, source, reports)
      assert.strictEqual(found.commit, git(source, "rev-parse", "HEAD"))
      assert.deepStrictEqual(
        found.languages.map(({ code, comments, files, name }) => [name, files, code, comments]),
        [
          ["TypeScript", 2, 2, 1],
          ["JSON", 1, 1, 0]
        ]
      )
      assert.deepStrictEqual(found.skipped.symlinks.examples, ["passwd.ts"])
      assert.deepStrictEqual(
        found.dependencies.map(({ name }) => name),
        ["a"]
      )
      assert.strictEqual(found.source, source)
      assert.deepStrictEqual(stages(reports), [
        "cloning",
        "analyzing",
        "scanning_dependencies",
        "generating_report",
        "complete"
      ])
      assert.deepInclude(reports, { percent: 10, stage: "cloning" })
      assert.deepStrictEqual(readdirSync(scratch), [])
      assert.isFalse(existsSync(join(process.cwd(), "x")))
    })
  )

  it.live("takes a file URL for the same", () =>
    Effect.gen(function* () {
      const source = yield* repository
      const url = new URL(`file://${source}`).href
      const found = yield* clone(yield* temporaryDirectory, url)
      assert.strictEqual(found.files, 3)
    })
  )

  it.live("runs nothing that the repository or the machine's templates bring", () =>
    Effect.gen(function* () {
      const source = yield* repository
      const directory = yield* temporaryDirectory
      const marker = join(directory, "marker")
      const hook = `#!/bin/sh\ntouch '${marker}'\n`
      for (const place of [join(source, ".git/hooks"), join(directory, "templates/hooks")]) {
        mkdirSync(place, { recursive: true })
        for (const name of ["post-checkout", "post-merge", "reference-transaction", "pre-auto-gc"]) {
          writeFileSync(join(place, name), hook)
          chmodSync(join(place, name), 0o755)
        }
      }
      writeFileSync(
        join(directory, ".gitconfig"),
        `[init]\n templateDir = ${join(directory, "templates")}\n[core]\n hooksPath = ${join(directory, "templates/hooks")}\n[filter "lfs"]\n smudge = touch '${marker}'\n process = touch '${marker}'\n required = true\n`
      )
      const home = process.env["HOME"]
      process.env["HOME"] = directory
      const found = yield* clone(join(directory, "scratch"), source).pipe(
        Effect.ensuring(Effect.sync(() => (process.env["HOME"] = home)))
      )
      assert.strictEqual(found.files, 3)
      assert.isFalse(existsSync(marker))
    })
  )

  it.live("says in git's own words why it could not clone, without passwords", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const scratch = join(directory, "scratch")
      mkdirSync(join(directory, "plain"))
      mkdirSync(join(directory, "empty"))
      git(join(directory, "empty"), "init", "-q")
      writeFileSync(join(directory, "file"), "")
      const failure = (url: string) =>
        Effect.map(Effect.flip(clone(scratch, url)), ({ code, message }) => ({ code, message }))

      const plain = yield* failure(join(directory, "plain"))
      assert.strictEqual(plain.code, "clone_failed")
      assert.include(plain.message, "does not appear to be a git repository")

      const empty = yield* failure(join(directory, "empty"))
      assert.strictEqual(empty.code, "clone_failed")
      assert.include(empty.message, "it has no commit")

      assert.strictEqual((yield* failure(join(directory, "nowhere"))).code, "path_not_found")
      assert.strictEqual((yield* failure(join(directory, "file"))).code, "not_a_directory")

      const refused = yield* failure("http://ann:hunter2secret@127.0.0.1:1/x.git?access_token=abcsecret")
      assert.strictEqual(refused.code, "clone_failed")
      assert.include(refused.message, "127.0.0.1")
      assert.notInclude(refused.message, "secret")
      assert.deepStrictEqual(readdirSync(scratch), [])
    })
  )

  it.effect("says that git is missing", () =>
    Effect.gen(function* () {
      const tool = yield* AnalyzeCodebase.make({ scratch: yield* temporaryDirectory })
      const failure = yield* Effect.flip(callTool(tool, Schema.Unknown, { repoUrl: "https://127.0.0.1/x" }))
      assert.strictEqual(failure.code, "git_missing")
    }).pipe(
      Effect.provide(Layer.mock(Processes, { run: ({ command }) => Effect.fail(new CommandMissing({ command })) }))
    )
  )

  it.live("cancelled in the middle of a clone, leaves no process and no file", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const scratch = join(directory, "scratch")
      const pids = join(directory, "pids")
      mkdirSync(join(directory, "bin"))
      const fixture = new URL("../fixtures/tools/slow-git", import.meta.url).pathname
      writeFileSync(join(directory, "bin/git"), `#!/bin/sh\nSLOW_GIT_PIDS='${pids}' exec '${fixture}' "$@"\n`)
      chmodSync(join(directory, "bin/git"), 0o755)
      const path = process.env["PATH"]
      process.env["PATH"] = `${join(directory, "bin")}:${path}`
      const { call, reports } = reporting()
      const fiber = yield* Effect.forkChild(clone(scratch, "https://127.0.0.1:1/x", reports))
      yield* soon("three processes", () => writtenPids(pids).length === 3)
      process.env["PATH"] = path
      // Git's own progress is a sign of life.
      yield* soon("progress", () => reports.some(({ percent }) => percent > 1 && percent < 10))
      assert.strictEqual(readdirSync(scratch).length, 1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(writtenPids(pids).filter(isRunning), [])
      assert.deepStrictEqual(readdirSync(scratch), [])
      assert.isDefined(call)
    })
  )
})

describe("git's output", () => {
  it("is told without credentials", () => {
    assert.strictEqual(redact("https://a:b@host/x?token=c&d=e"), "https://***@host/x?token=***&d=***")
    assert.strictEqual(redact("unable to access 'http://tok@h/x': no"), "unable to access 'http://***@h/x': no")
    assert.strictEqual(redact("git@host:a/b"), "git@host:a/b")
    assert.notInclude(redact("https://user:p@ss/word@host/x"), "p@ss")
  })

  it("is read for its last word", () => {
    assert.strictEqual(
      lastLine("Cloning into 'x'...\nfatal: 'x' does not exist\nfatal: Could not read.\n\nPlease make sure\n"),
      "fatal: 'x' does not exist; fatal: Could not read."
    )
    assert.strictEqual(lastLine(""), "it ended without a word")
    assert.isBelow(lastLine(`fatal: ${"x".repeat(10_000)}`).length, 500)
  })

  it("is read for how far it is", () => {
    assert.deepStrictEqual(progressOf("Receiving objects:  50% (1/2), 2.00 MiB | 1 MiB/s\r"), {
      fraction: 0.35,
      received: 2 * 1024 * 1024
    })
    assert.deepStrictEqual(progressOf("nothing"), { fraction: 0, received: 0 })
    assert.strictEqual(progressOf("Updating files: 100% (3/3)").fraction, 1)
  })
})
