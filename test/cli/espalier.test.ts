import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Delivery } from "../../services/events/RuntimeEvent.ts"
import { TopicStats } from "../../services/events/TopicStats.ts"
import { errorCodes } from "../../services/gateway/ErrorCodes.ts"
import { Permission } from "../../services/permission/Permission.ts"
import { BreakerStatus } from "../../services/limits/Breakers.ts"
import { Message, Session, SessionSummary } from "../../services/session/Session.ts"
import { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import { ToolDescription } from "../../services/tools/Tools.ts"
import { Worker, WorkerSummary } from "../../services/worker/Worker.ts"
import { PoolStatus } from "../../services/worker/PoolStatus.ts"
import { version } from "../../src/version.ts"
import manifest from "../../package.json" with { type: "json" }
import { busywork, espalier, type Server, server, start } from "../support/CommandLine.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

class Running extends Context.Service<Running, Server>()("test/Running") {}

const command = (...args: ReadonlyArray<string>) => Effect.flatMap(Running, (server) => espalier(server, ...args))

/** A command's JSON, which has to fit the schema as it is on the wire. */
const json = <A, I>(schema: Schema.Codec<A, I>, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { status, stderr, stdout } = yield* command(...args, "--json")
    assert.strictEqual(status, 0, stderr)
    return yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.toCodecJson(schema)), {
      onExcessProperty: "error"
    })(stdout)
  })

const ServerLayer = Layer.effect(Running, server())

layer(ServerLayer, { excludeTestServices: true })("espalier", (it) => {
  it.effect("lists the tools, and runs one to its report with progress in plain lines", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      writeFileSync(join(directory, "a.ts"), "// one\nexport const one = () => 1\n")
      const tools = yield* json(Schema.Array(ToolDescription), "tool", "list")
      assert.include(
        tools.map(({ name }) => name),
        "analyze_codebase"
      )
      const args = JSON.stringify({ path: directory })
      const { status, stderr, stdout } = yield* command("tool", "run", "analyze_codebase", "--args", args)
      assert.strictEqual(status, 0, stderr)
      assert.match(stdout, /^# Codebase analysis/)
      assert.notMatch(stdout + stderr, /(?!\n)\p{Cc}/u)
      assert.match(stderr, /analyze_codebase +30 % +analyzing\n/)
      assert.match(stderr, /analyze_codebase +done in .* wrk_\w+\n$/)
      const breakers = yield* json(Schema.Array(BreakerStatus), "breakers")
      assert.deepStrictEqual(
        breakers.find(({ name }) => name === "tool:analyze_codebase"),
        { name: "tool:analyze_codebase", state: "closed", failures: 0, openings: 0, refused: 0, retryAfter: 0 }
      )
      assert.match((yield* command("breakers")).stdout, /tool:analyze_codebase +closed/)
    })
  )

  it.effect("--json prints what is on the wire: a session has its id, a worker its id and status", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const session = yield* json(Session, "session", "start", "--title", "json", "--label", "a=1", "--label", "b=2")
      assert.deepStrictEqual(session.metadata, { a: "1", b: "2" })
      const args = JSON.stringify({ path: directory })
      const worker = yield* json(Worker, "tool", "run", "analyze_codebase", "--args", args, "--session", session.id)
      assert.strictEqual(worker.status, "completed")
      assert.strictEqual(worker.sessionId, session.id)
      assert.strictEqual((yield* json(Worker, "worker", "show", worker.id)).id, worker.id)
      const [first] = yield* json(Schema.Array(WorkerSummary), "worker", "list", "--session", session.id)
      assert.strictEqual(first?.id, worker.id)
      const sessions = yield* json(Schema.Array(SessionSummary), "session", "list")
      assert.include(
        sessions.map(({ id }) => id),
        session.id
      )
      assert.strictEqual((yield* json(PoolStatus, "pool", "status")).permits, 3)
      assert.strictEqual((yield* json(TreeNode, "tree")).id, "espalier")
      const changed = yield* json(Session, "session", "update", session.id, "--title", "another")
      assert.strictEqual(changed.title, "another")
    })
  )

  it.effect("a message is answered as it streams, and the events of the session can be read one a line", () =>
    Effect.gen(function* () {
      const { id } = yield* json(Session, "session", "start")
      const answer = yield* command("session", "send", id, "hello", "--wait")
      assert.strictEqual(answer.status, 0, answer.stderr)
      assert.include(answer.stdout, "No model is configured")
      const messages = yield* command("session", "messages", id)
      assert.match(messages.stdout, /^you\nhello\n\nagent\nNo model/)
      const events = yield* command("events", `session:${id}`, "--json")
      const deliveries = yield* Effect.forEach(events.stdout.trim().split("\n"), (line) =>
        Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.toCodecJson(Delivery)))(line)
      )
      assert.deepStrictEqual(
        deliveries.map((delivery) => (delivery._tag === "Event" ? delivery.event._tag : delivery._tag)),
        ["SessionStarted", "MessageReceived", "TurnStarted", "MessageSettled", "TurnEnded"]
      )
      const rest = yield* command("events", `session:${id}`, "--from", "4")
      assert.strictEqual(rest.stdout.trim().split("\n").length, 2)
      const none = yield* command("events", `session:${id}`, "--from", "6")
      assert.deepStrictEqual([none.status, none.stdout], [0, ""])
    })
  )

  it.effect("files go with a message, texts and pictures, and what is neither is refused", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const file = (name: string, content: string | Uint8Array) => {
        writeFileSync(join(directory, name), content)
        return join(directory, name)
      }
      const { id } = yield* json(Session, "session", "start")
      const attached = [
        "--attach",
        file("notes.txt", "some notes"),
        "--attach",
        file("dot.png", Uint8Array.of(137, 80))
      ]
      const sent = yield* command("session", "send", id, "what is this?", "--wait", ...attached)
      assert.strictEqual(sent.status, 0, sent.stderr)
      const [first] = yield* json(Schema.Array(Message), "session", "messages", id)
      assert.deepInclude(first, { attachments: ["notes.txt", "dot.png"] })
      const refused = yield* command("session", "send", id, "and this?", "--attach", file("x.bin", Uint8Array.of(255)))
      assert.strictEqual(refused.status, errorCodes.UsageError.exit, refused.stderr)
    })
  )

  it.effect("what a person has to allow is shown whole, with what is hidden in it, and can be answered once", () =>
    Effect.gen(function* () {
      const running = yield* Running
      const { id } = yield* json(Session, "session", "start")
      const text = '/tool analyze_codebase {"repoUrl":"file:///no/such/\u202eplace"}'
      const sending = yield* start(running, "session", "send", id, text, "--wait")
      yield* Effect.promise(() => sending.until("stderr", /waits for permission: .*\/\\u\{202e\}place/))
      const shown = yield* command("session", "permissions", id)
      assert.match(shown.stdout, /arguments +\{"repoUrl":"file:\/\/\/no\/such\/\\u\{202e\}place"\}/)
      assert.match(shown.stdout, /touches +read, network/)
      const [asked] = yield* json(Schema.Array(Permission), "session", "permissions", id)
      const permissionId = asked?.permissionId ?? ""
      const wrong = yield* command("session", "approve", id, permissionId, "--hash", "0")
      assert.strictEqual(wrong.status, errorCodes.PermissionMismatch.exit, wrong.stderr)
      assert.include((yield* command("session", "show", id)).stdout, "awaiting_permission")
      const denied = yield* command("session", "deny", id)
      assert.match(denied.stdout, /^denied analyze_codebase .*202e/)
      assert.match((yield* Effect.promise(() => sending.ended)).stdout, /did not allow/)
      const again = yield* command("session", "approve", id, permissionId)
      assert.strictEqual(again.status, errorCodes.PermissionAlreadyResolved.exit, again.stderr)
    })
  )

  it.effect("--follow goes on with what happens until Ctrl-C, which exits with 130", () =>
    Effect.gen(function* () {
      const running = yield* Running
      const { id } = yield* json(Session, "session", "start")
      const following = yield* start(running, "events", `session:${id}`, "--follow", "--from", "1")
      yield* Effect.promise(() => following.until("stdout", /SessionStarted/))
      const [listening] = yield* json(Schema.Array(TopicStats), "events", `session:${id}`, "--stats")
      assert.deepInclude(listening, { subscribers: 1, delivered: 1, lost: 0, lag: 0 })
      assert.strictEqual(listening?.list[0]?.label, "espalier events")
      assert.match(
        (yield* command("events", "--stats")).stdout,
        /0\/1024 +1 +0 +0 +catchup +live +espalier events, rpc/
      )
      yield* command("session", "send", id, "hello")
      yield* Effect.promise(() => following.until("stdout", /TurnEnded/))
      following.process.kill("SIGINT")
      assert.strictEqual((yield* Effect.promise(() => following.ended)).status, 130)
    })
  )

  it.effect("Ctrl-C cancels the worker that a command started, says so, and exits with 130", () =>
    Effect.gen(function* () {
      const running = yield* Running
      const directory = yield* busywork()
      const run = yield* start(
        running,
        "tool",
        "run",
        "analyze_codebase",
        "--args",
        JSON.stringify({ path: directory })
      )
      yield* Effect.promise(() => run.until("stderr", /analyzing/))
      run.process.kill("SIGINT")
      const { status, stderr } = yield* Effect.promise(() => run.ended)
      assert.strictEqual(status, 130)
      const [, workerId = ""] = /cancelled (wrk_\w+)/.exec(stderr) ?? []
      const worker = yield* json(Worker, "worker", "show", workerId)
      assert.strictEqual(worker.status, "cancelled")
      assert.strictEqual((yield* json(Session, "session", "show", worker.sessionId)).status, "ended")
    })
  )

  describe("what goes wrong", () => {
    const cases: ReadonlyArray<readonly [keyof typeof errorCodes, ReadonlyArray<string>, RegExp]> = [
      ["UsageError", ["frobnicate"], /frobnicate/],
      ["UsageError", ["session", "show", "nonsense"], /starts with "ses_"/],
      ["UsageError", ["session", "update", "ses_a"], /--title/],
      ["InvalidInput", ["session", "list", "--limit", "5000"], /limit: .*1000/],
      ["InvalidInput", ["tool", "run", "analyze_codebase", "--args", "{"], /--args .* not JSON/],
      ["InvalidInput", ["tool", "run", "analyze_codebase", "--args", '{"pth":"."}'], /pth/],
      ["SessionNotFound", ["session", "show", "ses_nobody"], /no session ses_nobody/],
      ["SessionNotFound", ["events", "session:ses_nobody"], /no session ses_nobody/],
      ["WorkerNotFound", ["worker", "cancel", "wrk_nobody"], /no worker wrk_nobody/],
      ["WorkerNotFound", ["events", "worker:wrk_nobody", "--follow"], /no worker wrk_nobody/],
      ["ToolNotFound", ["tool", "run", "no_such_tool"], /no tool "no_such_tool"; there are analyze_codebase/],
      ["ToolFailure", ["tool", "run", "analyze_codebase", "--args", '{"path":"/no/such/place"}'], /\/no\/such\/place/],
      ["UsageError", ["events"], /--stats/],
      ["UsageError", ["events", "session:*"], /--follow/],
      ["InvalidInput", ["events", "session:*", "--follow", "--from", "3"], /has no past/],
      ["CursorAhead", ["events", "system:agents", "--from", "900000"], /cannot be read from 900000/],
      ["InvalidConfig", ["--url", "nonsense", "tree"], /ESPALIER_URL: an address/],
      ["ServerUnreachable", ["--url", "http://127.0.0.1:1", "tree"], /npm start/]
    ]
    for (const [tag, args, sentence] of cases) {
      const { code, exit } = errorCodes[tag]
      it.effect(`${args.join(" ")}: one sentence, code ${code}, exit ${exit}`, () =>
        Effect.gen(function* () {
          const [{ status, stderr, stdout }, machine] = yield* Effect.all(
            [command(...args), command(...args, "--json")],
            { concurrency: 2 }
          )
          assert.strictEqual(status, exit, stderr)
          assert.strictEqual(stdout, "")
          const last = stderr.trimEnd().split("\n").at(-1) ?? ""
          assert.match(last, /^error: /)
          assert.match(last, sentence)
          assert.strictEqual(machine.status, exit)
          const { error } = JSON.parse(machine.stderr) as { readonly error: { readonly code: string } }
          if (tag !== "ToolFailure") assert.strictEqual(error.code, code)
        })
      )
    }
  })

  it.effect("says its version, which is the package's", () =>
    Effect.gen(function* () {
      assert.strictEqual(version, manifest.version)
      assert.include((yield* command("--version")).stdout, version)
    })
  )
})
