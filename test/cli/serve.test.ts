import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule, Stream } from "effect"
import { connect } from "node:net"
import * as Topic from "../../services/events/Topic.ts"
import { errorCodes } from "../../services/gateway/ErrorCodes.ts"
import * as Client from "../../src/client.ts"
import { busywork, espalier, server, start } from "../support/CommandLine.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

describe("espalier serve", () => {
  it.live("says where it is and what to try, and stops on SIGTERM with 0 while clients hang on", () =>
    Effect.gen(function* () {
      const { dataDirectory, running, url } = yield* server()
      assert.include(running.stdout, dataDirectory)
      assert.include(running.stdout, "tool run analyze_codebase")
      const idle = connect(Number(new URL(url).port), "127.0.0.1")
      idle.on("error", () => {})
      yield* Effect.gen(function* () {
        const espalier = yield* Client.Client
        const session = yield* espalier.StartSession({})
        yield* espalier
          .Subscribe({ topic: Topic.ofSession(session.id), from: 1 })
          .pipe(Stream.runDrain, Effect.ignore, Effect.forkChild({ startImmediately: true }))
        yield* espalier.PoolStatus()
        const before = performance.now()
        running.process.kill("SIGTERM")
        const { status, stderr } = yield* Effect.promise(() => running.ended)
        assert.strictEqual(status, 0, stderr)
        assert.isBelow(performance.now() - before, 15_000)
        assert.include(stderr, "stopped")
      }).pipe(Effect.provide(Client.layer({ url })))
      idle.destroy()
    }).pipe(Effect.scoped)
  )

  it.live("with --json it says where it is in one line for programs, and Ctrl-C stops it with 0", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* temporaryDirectory
      const running = yield* start({ url: "" }, "serve", "--json", "--port", "0", "--data", dataDirectory)
      yield* Effect.promise(() => running.until("stdout", /\n/))
      const told = JSON.parse(running.stdout) as { readonly url: string; readonly dataDirectory: string }
      assert.strictEqual(told.dataDirectory, dataDirectory)
      const tree = yield* espalier({ url: told.url }, "tree")
      assert.match(tree.stdout, /^espalier +one_for_one +running/)
      assert.match(tree.stdout, /├─ foundation +rest_for_one/)
      running.process.kill("SIGINT")
      assert.strictEqual((yield* Effect.promise(() => running.ended)).status, 0)
    }).pipe(Effect.scoped)
  )

  it.live("what it had accepted is there after the next start", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* temporaryDirectory
      const first = yield* server(dataDirectory)
      const started = yield* espalier(first, "session", "start", "--id", "ses_stays", "--title", "stays")
      assert.strictEqual(started.status, 0, started.stderr)
      assert.strictEqual((yield* espalier(first, "session", "send", "ses_stays", "hello", "--wait")).status, 0)
      first.running.process.kill("SIGKILL")
      yield* Effect.promise(() => first.running.ended)
      const second = yield* server(dataDirectory)
      const messages = yield* espalier(second, "session", "messages", "ses_stays")
      assert.match(messages.stdout, /^you\nhello\n\nagent\n/)
    }).pipe(Effect.scoped)
  )

  it.live(
    "a tool run whose server is killed says so, and the worker goes on when the server is back at once",
    () =>
      Effect.gen(function* () {
        const dataDirectory = yield* temporaryDirectory
        const source = yield* busywork(150)
        const first = yield* server(dataDirectory)
        const args = ["--args", JSON.stringify({ path: source })]
        const run = yield* start(first, "tool", "run", "analyze_codebase", ...args)
        yield* Effect.promise(() => run.until("stderr", /analyzing/))
        first.running.process.kill("SIGKILL")
        yield* Effect.promise(() => first.running.ended)
        const second = yield* server(dataDirectory, { ESPALIER_PORT: new URL(first.url).port })
        const { status, stderr } = yield* Effect.promise(() => run.ended)
        assert.strictEqual(status, errorCodes.ServerUnreachable.exit, stderr)
        const [, id = ""] = /espalier worker show (wrk_\w+)/.exec(stderr) ?? []
        const worker = yield* espalier(second, "worker", "show", id, "--json").pipe(
          Effect.map(({ stdout }): { readonly status: string } => JSON.parse(stdout)),
          Effect.repeat({
            schedule: Schedule.spaced("500 millis"),
            until: ({ status }) => /completed|failed|cancelled/.test(status)
          }),
          Effect.timeout("60 seconds")
        )
        assert.strictEqual(worker.status, "completed")
      }).pipe(Effect.scoped),
    90_000
  )

  it.live("a port or a data directory that is in use is refused in a sentence, with an exit status of its own", () =>
    Effect.gen(function* () {
      const { dataDirectory, url } = yield* server()
      const elsewhere = yield* temporaryDirectory
      const samePort = yield* espalier({ url }, "serve", "--port", new URL(url).port, "--data", elsewhere)
      assert.strictEqual(samePort.status, errorCodes.PortInUse.exit)
      assert.match(samePort.stderr, /^error: port \d+ of 127\.0\.0\.1 is in use.*--port/)
      const sameData = yield* espalier({ url }, "serve", "--port", "0", "--data", dataDirectory)
      assert.strictEqual(sameData.status, errorCodes.DataDirectoryBusy.exit)
      assert.include(sameData.stderr, dataDirectory)
      const embedded = yield* espalier({ url }, "--embedded", "--data", dataDirectory, "tree")
      assert.strictEqual(embedded.status, errorCodes.DataDirectoryBusy.exit)
      const wrong = yield* espalier({ url }, "serve", "--port", "70000")
      assert.strictEqual(wrong.status, errorCodes.InvalidConfig.exit)
      assert.include(wrong.stderr, "65535")
    }).pipe(Effect.scoped)
  )

  it.live("--embedded runs a command over a data directory without a server, and leaves what it did to one", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* temporaryDirectory
      const nowhere = { url: "http://127.0.0.1:1" }
      const args = ["--embedded", "--data", dataDirectory]
      const started = yield* espalier(nowhere, ...args, "session", "start", "--id", "ses_embedded")
      assert.strictEqual(started.status, 0, started.stderr)
      const ran = yield* espalier(
        nowhere,
        ...args,
        "tool",
        "run",
        "analyze_codebase",
        "--args",
        JSON.stringify({ path: dataDirectory })
      )
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, /^# Codebase analysis/)
      const running = yield* server(dataDirectory)
      const shown = yield* espalier(running, "session", "show", "ses_embedded")
      assert.strictEqual(shown.status, 0, shown.stderr)
    }).pipe(Effect.scoped)
  )

  it.live("a second signal ends it at once", () =>
    Effect.gen(function* () {
      const { running, url } = yield* server()
      const waiting = yield* start({ url }, "events", "system:health", "--follow")
      yield* Effect.promise(() => waiting.until("stdout", /HealthSampled/))
      const before = performance.now()
      running.process.kill("SIGTERM")
      yield* Effect.promise(() => running.until("stderr", /stopping/))
      running.process.kill("SIGTERM")
      const { status } = yield* Effect.promise(() => running.ended)
      assert.isBelow(performance.now() - before, 2_000)
      assert.include([0, 143], status ?? -1)
      assert.strictEqual((yield* Effect.promise(() => waiting.ended)).status, errorCodes.ServerUnreachable.exit)
    }).pipe(Effect.scoped)
  )
})
