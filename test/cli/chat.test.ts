import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { errorCodes } from "../../services/gateway/ErrorCodes.ts"
import { espalier, type Running, server, start, talk } from "../support/CommandLine.ts"
import { eventually } from "../support/eventually.ts"
import * as ModelServer from "../support/ModelServer.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const { calls, refuses, says, silence, wait, words } = ModelServer

const serving = (script: ModelServer.Script) =>
  Effect.gen(function* () {
    const models = yield* ModelServer.make(script)
    const env = { ESPALIER_MODEL: "openai-compatible/scripted", ESPALIER_MODEL_URL: models.url }
    return { models, env, server: yield* server(undefined, env) }
  })

const until = (running: Running, output: "stdout" | "stderr", wanted: RegExp) =>
  Effect.promise(() => running.until(output, wanted))
const ended = (running: Running) => Effect.promise(() => running.ended)

describe("espalier run", () => {
  it.live("prints the answer on stdout and what is done for it on stderr", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const { server, models } = yield* serving((_, index) =>
        index === 0
          ? calls(["analyze_codebase", JSON.stringify({ path: directory })])
          : says("Nothing", " is\u001b[31m there.")
      )
      const { status, stderr, stdout } = yield* espalier(server, "run", "What is here?")
      assert.strictEqual(status, 0, stderr)
      assert.strictEqual(stdout, "Nothing is there.\n")
      assert.match(stderr, /\* analyze_codebase \{"path"/)
      assert.match(stderr, /analyze_codebase +done/)
      assert.match(stderr, /24 tokens in \(8 from the cache\), 10 out/)
      assert.strictEqual(models.asked.length, 2)
      const sessions = yield* espalier(server, "session", "list", "--json")
      assert.match(sessions.stdout, /"status": "ended"/)
    }).pipe(Effect.scoped)
  )

  it.live("--json prints one event a line and nothing else; - reads the prompt", () =>
    Effect.gen(function* () {
      const { models, server } = yield* serving(() => says("Yes."))
      const running = yield* talk(server, ["run", "-", "--json"], "Is it?\nReally?")
      const { status, stderr, stdout } = yield* ended(running)
      assert.strictEqual(status, 0, stderr)
      assert.strictEqual(stderr, "")
      const events = stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { readonly event: { readonly _tag: string } })
      assert.includeMembers(
        events.map(({ event }) => event._tag),
        ["MessageReceived", "TurnStarted", "MessageSettled", "TurnEnded"]
      )
      const [first] = models.asked
      assert.deepInclude(first?.body.messages.at(-1), { role: "user", content: "Is it?\nReally?" })
    }).pipe(Effect.scoped)
  )

  it.live("goes on with a session, and keeps one of its own where it is told to", () =>
    Effect.gen(function* () {
      const { models, server } = yield* serving((_, index) => says(`answer ${index + 1}`))
      const first = yield* espalier(server, "run", "one", "--keep")
      const id = /session (ses_\w+)/.exec(first.stderr)?.[1] ?? ""
      const second = yield* espalier(server, "run", "two", "--session", id)
      assert.strictEqual(second.stdout, "answer 2\n")
      assert.strictEqual(models.asked[1]?.body.messages.length, 3)
    }).pipe(Effect.scoped)
  )

  it.live("tells by its exit status how it ended", () =>
    Effect.gen(function* () {
      const { models, server } = yield* serving(() => refuses(401))
      const failed = yield* espalier(server, "run", "go")
      assert.strictEqual(failed.status, errorCodes.TurnFailed.exit)
      assert.match(failed.stderr, /the provider refused the key/)
      const json = yield* espalier(server, "run", "go", "--json")
      assert.match(json.stderr, /"code":"model_auth"/)
      assert.strictEqual((yield* espalier(server, "run", " ")).status, errorCodes.UsageError.exit)
      models.follow(() => says("fine"))
      assert.strictEqual((yield* espalier(server, "run", "go")).status, 0)
    }).pipe(Effect.scoped)
  )

  it.live("is cancelled by Ctrl-C, and says so when somebody else cancels it", () =>
    Effect.gen(function* () {
      const { models, server } = yield* serving(() => [...words("Well"), silence])
      const cut = yield* start(server, "run", "go")
      yield* until(cut, "stdout", /Well/)
      cut.process.kill("SIGINT")
      assert.strictEqual((yield* ended(cut)).status, 130)
      yield* eventually("the model's request is gone", () => models.open() === 0)
      yield* espalier(server, "session", "start", "--id", "ses_mine")
      const cancelled = yield* start(server, "run", "go", "--session", "ses_mine")
      yield* until(cancelled, "stdout", /Well/)
      const cancel = yield* espalier(server, "session", "cancel", "ses_mine")
      assert.strictEqual(cancel.status, 0, cancel.stderr)
      assert.strictEqual((yield* ended(cancelled)).status, errorCodes.TurnCancelled.exit)
    }).pipe(Effect.scoped)
  )

  it.live(
    "reads the prompt and what goes with it from a pipe or files, and tells the model of the directory's AGENTS.md",
    () =>
      Effect.gen(function* () {
        const { models, server } = yield* serving(() => says("Read."))
        const directory = yield* temporaryDirectory
        writeFileSync(join(directory, "AGENTS.md"), "Speak like a pirate.")
        writeFileSync(join(directory, "note.txt"), "a note")
        const bare = yield* ended(yield* talk(server, ["run"], "from a pipe"))
        assert.strictEqual(bare.stdout, "Read.\n", bare.stderr)
        const file = join(directory, "note.txt")
        const rich = ["run", "right?", "--attach", "-", "--attach", file, "--directory", directory]
        assert.strictEqual((yield* ended(yield* talk(server, rich, "a diff"))).status, 0)
        const [piped, attached] = models.asked.map(({ body }) => JSON.stringify(body.messages))
        assert.include(piped, "from a pipe")
        for (const part of ["pirate", "right?", "a diff", "a note"]) assert.include(attached, part)
        const missing = yield* espalier(server, "run", "go", "--attach", join(directory, "none"))
        assert.strictEqual(missing.status, errorCodes.UsageError.exit)
      }).pipe(Effect.scoped)
  )

  it.live("runs what --allow names without asking, and is cancelled after its --timeout", () =>
    Effect.gen(function* () {
      const args = JSON.stringify({ repoUrl: "https://127.0.0.1:9/x.git" })
      const { models, server } = yield* serving(({ body }) =>
        body.messages.at(-1)?.role === "tool" ? says("Tried.") : calls(["analyze_codebase", args])
      )
      const allowed = yield* espalier(server, "run", "go", "--allow", "analyze_*")
      assert.strictEqual(allowed.stdout, "Tried.\n", allowed.stderr)
      const other = yield* espalier(server, "run", "go", "--allow", "generate_*")
      assert.strictEqual(other.status, errorCodes.PermissionNeeded.exit)
      assert.include(other.stderr, '--allow "analyze_codebase"')
      models.follow(() => [...words("Well"), silence])
      const late = yield* espalier(server, "run", "go", "--timeout", "1s")
      assert.strictEqual(late.status, errorCodes.TurnTimedOut.exit, late.stderr)
      yield* eventually("the model's request is gone", () => models.open() === 0)
      for (const flags of [
        ["--timeout", "soon"],
        ["--session", "ses_mine", "--allow", "*"]
      ]) {
        assert.strictEqual((yield* espalier(server, "run", "go", ...flags)).status, errorCodes.UsageError.exit)
      }
    }).pipe(Effect.scoped)
  )

  it.live("cancels its turn and ends in order when it is terminated, or when nobody reads it any more", () =>
    Effect.gen(function* () {
      const { models, server } = yield* serving(() => [...words("Well"), silence])
      const cut = yield* start(server, "run", "go")
      yield* until(cut, "stdout", /Well/)
      cut.process.kill("SIGTERM")
      assert.strictEqual((yield* ended(cut)).status, 143)
      yield* eventually("the model's request is gone", () => models.open() === 0)
      models.follow(() => [...words("Well"), wait(500), ...words(" then"), wait(200), ...words(" go"), silence])
      const unread = yield* start(server, "run", "go")
      yield* until(unread, "stdout", /Well/)
      unread.process.stdout?.destroy()
      const { status, stderr } = yield* ended(unread)
      assert.strictEqual(status, 0, stderr)
      yield* eventually("its request is gone, too", () => models.open() === 0)
      const sessions = yield* espalier(server, "session", "list", "--json")
      assert.notMatch(sessions.stdout, /"status": "(idle|thinking)"/)
    }).pipe(Effect.scoped)
  )

  it.live("--embedded needs no server", () =>
    Effect.gen(function* () {
      const models = yield* ModelServer.make(() => says("From this process."))
      const directory = yield* temporaryDirectory
      const running = yield* talk({ url: "" }, ["run", "go", "--embedded", "--data", directory], "", {
        ESPALIER_MODEL: "openai-compatible/scripted",
        ESPALIER_MODEL_URL: models.url
      })
      const { status, stderr, stdout } = yield* ended(running)
      assert.strictEqual(status, 0, stderr)
      assert.strictEqual(stdout, "From this process.\n")
    }).pipe(Effect.scoped)
  )
})

describe("espalier chat", () => {
  it.live("answers line after line, and knows its commands", () =>
    Effect.gen(function* () {
      const directory = mkdtempSync(join(tmpdir(), "espalier-chat-"))
      const file = join(directory, "talk.md")
      const { server } = yield* serving((_, index) => says(`answer ${index + 1}`))
      const input = `one\n\n/help\n/tools\n/nonsense\ntwo\n/export ${file}\n/export ${file}\n/quit\nnever\n`
      const running = yield* talk(server, ["chat"], input)
      const { status, stderr, stdout } = yield* ended(running)
      assert.strictEqual(status, 0, stderr)
      assert.strictEqual(stdout, "answer 1\nanswer 2\n")
      for (const part of [
        "/cancel",
        "analyze_codebase",
        "there is no /nonsense",
        `wrote ${file}`,
        "already; name another",
        "go on with: espalier chat ses_"
      ]) {
        assert.include(stderr, part)
      }
      const text = readFileSync(file, "utf8")
      assert.match(text, /^# one\n\nSession `ses_/)
      assert.match(text, /## You\n\n_.*_\n\none\n\n## Assistant\n\n_.*_\n\nanswer 1\n/)
      rmSync(directory, { recursive: true })
      const id = /session (ses_\w+);/.exec(stderr)?.[1] ?? ""
      const again = yield* ended(yield* talk(server, ["chat", id], "three\n"))
      assert.strictEqual(again.stdout, "> one\nanswer 1\n> two\nanswer 2\nanswer 3\n")
    }).pipe(Effect.scoped)
  )

  it.live("Ctrl-C stops the answer first and leaves after that; /cancel stops it too", () =>
    Effect.gen(function* () {
      const { models, server } = yield* serving(() => [...words("So far"), silence])
      const running = yield* talk(server, ["chat"])
      running.process.stdin?.write("one\n")
      yield* until(running, "stdout", /So far/)
      running.process.kill("SIGINT")
      yield* until(running, "stderr", /cancelled/)
      yield* eventually("the model's request is gone", () => models.open() === 0)
      models.follow(() => [...words("And then"), silence])
      running.process.stdin?.write("two\n")
      yield* until(running, "stdout", /And then/)
      running.process.stdin?.write("/cancel\n")
      yield* until(running, "stderr", /cancelled[^]*cancelled/)
      models.follow(() => says("fine"))
      running.process.stdin?.write("three\n")
      yield* until(running, "stdout", /fine/)
      yield* Effect.sleep("200 millis")
      running.process.kill("SIGINT")
      assert.strictEqual((yield* ended(running)).status, 130)
    }).pipe(Effect.scoped)
  )

  it.live(
    "asks before a call that has to be allowed, with its exact arguments; run gives up where nobody is there",
    () =>
      Effect.gen(function* () {
        const args = JSON.stringify({ repoUrl: "https://example.invalid/x.git" })
        const { server } = yield* serving(({ body }) =>
          body.messages.at(-1)?.role === "tool" ? says("As you wish.") : calls(["analyze_codebase", args])
        )
        const { status, stderr, stdout } = yield* ended(yield* talk(server, ["chat"], "look at it\nno\n"))
        assert.strictEqual(status, 0, stderr)
        assert.include(stderr, `may analyze_codebase (read, network) run with ${args}?`)
        assert.match(stderr, /denied[^]*permission_denied/)
        assert.strictEqual(stdout, "As you wish.\n")
        const run = yield* espalier(server, "run", "look at it")
        assert.strictEqual(run.status, errorCodes.PermissionNeeded.exit, run.stderr)
        assert.include(run.stderr, args)
      }).pipe(Effect.scoped)
  )

  it.live("works with a server of files: what was granted runs, and what was not is asked for", () =>
    Effect.gen(function* () {
      const notes = yield* temporaryDirectory
      const file = join(notes, "new.txt")
      const program = fileURLToPath(
        new URL("../../node_modules/@modelcontextprotocol/server-filesystem/dist/index.js", import.meta.url)
      )
      const files = {
        command: process.execPath,
        args: [program, notes],
        espalier: { allow: ["list_directory"] }
      }
      const config = join(yield* temporaryDirectory, ".mcp.json")
      writeFileSync(config, JSON.stringify({ mcpServers: { files } }))
      const models = yield* ModelServer.make(({ body }) => {
        const last = body.messages.at(-1)
        if (last?.role === "tool") return says(`It says: ${String(last.content)}`)
        return String(last?.content).includes("write")
          ? calls(["files__write_file", JSON.stringify({ path: file, content: "written" })])
          : calls(["files__list_directory", JSON.stringify({ path: notes })])
      })
      const serving = yield* server(undefined, {
        ESPALIER_MODEL: "openai-compatible/scripted",
        ESPALIER_MODEL_URL: models.url,
        ESPALIER_MCP_CONFIG: config
      })
      const offered = Effect.map(espalier(serving, "tool", "list"), ({ stdout }) =>
        stdout.includes("files__write_file")
      )
      yield* Effect.repeat(offered, { until: (isThere) => isThere, times: 20 })
      const { status, stderr, stdout } = yield* ended(yield* talk(serving, ["chat"], "write it\nyes\nlist\n"))
      assert.strictEqual(status, 0, stderr)
      assert.match(stderr, /may files__write_file [^]*"content":"written"[^]*allowed/)
      assert.strictEqual(readFileSync(file, "utf8"), "written")
      assert.notMatch(stderr, /may files__list_directory/)
      assert.include(stdout, "new.txt")
    }).pipe(Effect.scoped)
  )

  it.live("survives a server that is killed in the middle of an answer, and shows nothing of it twice", () =>
    Effect.gen(function* () {
      const { env, models, server: first } = yield* serving(() => [...words("Half of"), silence])
      const running = yield* talk(first, ["chat"])
      running.process.stdin?.write("go\n")
      yield* until(running, "stdout", /Half of/)
      first.running.process.kill("SIGKILL")
      yield* Effect.promise(() => first.running.ended)
      yield* until(running, "stderr", /the server is away/)
      models.follow(() => [wait(50), ...says("Half", " of it", " is enough.")])
      yield* server(first.dataDirectory, { ...env, ESPALIER_PORT: new URL(first.url).port })
      yield* until(running, "stdout", /enough\./)
      running.process.stdin?.write("/quit\n")
      const { status, stdout } = yield* ended(running)
      assert.strictEqual(status, 0)
      assert.strictEqual(stdout, "Half of it is enough.\n")
    }).pipe(Effect.scoped)
  )
})
