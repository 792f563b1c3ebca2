import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { errorCodes } from "../../services/gateway/ErrorCodes.ts"
import { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import * as Client from "../../src/client.ts"
import { espalier, server, start } from "../support/CommandLine.ts"
import * as PseudoTerminal from "../support/PseudoTerminal.ts"

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.toCodecJson(TreeNode)))

const has = (text: string) => (line: string) => line.includes(text)

describe("espalier tree", () => {
  it.live("--watch shows it again when a part crashes and comes back, until Ctrl-C", () =>
    Effect.gen(function* () {
      const running = yield* server(undefined, { ESPALIER_CHAOS: "1" })
      const [text, json] = yield* Effect.all([
        start(running, "tree", "--watch"),
        start(running, "tree", "--watch", "--json")
      ])
      yield* Effect.promise(() => text.until("stdout", /└─ maintenance .*\n\n/))
      yield* Effect.promise(() => json.until("stdout", /\n/))
      const killed = yield* espalier(running, "kill", "espalier/workers/pool")
      assert.strictEqual(killed.status, 0, killed.stderr)
      yield* Effect.promise(() => text.until("stdout", /pool .* 1 restart /))
      yield* Effect.promise(() =>
        json.until("stdout", /"id":"pool","type":"worker","state":"running"[^}]*"restarts":1/)
      )
      for (const { process } of [text, json]) process.kill("SIGINT")
      assert.strictEqual((yield* Effect.promise(() => text.ended)).status, 130)
      const { status, stdout } = yield* Effect.promise(() => json.ended)
      assert.strictEqual(status, 130)
      for (const line of stdout.trim().split("\n")) assert.strictEqual(decode(line).id, "espalier")
    }).pipe(Effect.scoped)
  )

  const onTerminal = PseudoTerminal.isAvailable || process.env["CI"] !== undefined ? it.live : it.live.skip
  const needs = "on a terminal (needs python3)"

  onTerminal(`${needs} --watch redraws it in place and leaves the cursor as it was on Ctrl-C`, () =>
    Effect.gen(function* () {
      const running = yield* server(undefined, { ESPALIER_CHAOS: "1" })
      const terminal = yield* PseudoTerminal.open({ rows: 40, columns: 100 }, running.url, "tree", "--watch")
      const first = yield* Effect.promise(() => terminal.until(({ lines }) => lines.some(has("maintenance"))))
      assert.isFalse(first.isCursorShown)
      assert.isFalse(first.wraps, "a long line would take two, and could not be counted")
      yield* espalier(running, "kill", "espalier/workers/pool")
      const height = first.lines.findIndex(has("maintenance")) + 1
      const redrawn = yield* Effect.promise(() => terminal.until(({ lines }) => lines.some(has("1 restart"))))
      assert.lengthOf(redrawn.lines.filter(has("espalier  ")), 1, redrawn.lines.join("\n"))
      assert.lengthOf(redrawn.lines.filter(has("pool ")), 1)
      assert.isNotEmpty(redrawn.climbs)
      assert.isTrue(redrawn.climbs.every((climb) => climb === height))
      terminal.type("\u0003")
      assert.strictEqual(yield* Effect.promise(() => terminal.status), 130)
      const last = new PseudoTerminal.Screen(terminal.rows, terminal.output)
      assert.isTrue(last.isCursorShown && last.wraps)
      assert.lengthOf(last.lines.filter(has("maintenance")), 1, "it stays to be read")
      assert.strictEqual(last.lines.at(-1), "", "the shell's prompt comes on a line of its own")
    }).pipe(Effect.scoped)
  )

  onTerminal(`${needs} --watch draws no more than fits on the screen, and says how much that leaves out`, () =>
    Effect.gen(function* () {
      const running = yield* server()
      const terminal = yield* PseudoTerminal.open({ rows: 8, columns: 40 }, running.url, "tree", "--watch")
      // Ages go on, so it redraws by itself.
      const screen = yield* Effect.promise(() => terminal.until(({ climbs }) => climbs.length >= 2))
      assert.isAtMost(Math.max(...screen.climbs), 7)
      assert.match(screen.lines[0] ?? "", /^espalier/)
      assert.match(screen.lines[6] ?? "", /^… \d+ more lines$/)
    }).pipe(Effect.scoped)
  )

  it.live("a server crashes nothing on purpose unless it was started for that", () =>
    Effect.gen(function* () {
      const running = yield* server()
      const refused = yield* espalier(running, "kill", "espalier/workers/pool")
      assert.strictEqual(refused.status, errorCodes.ChaosRefused.exit)
      assert.match(refused.stderr, /ESPALIER_CHAOS=1/)
    }).pipe(Effect.scoped)
  )

  it.live("when the root supervisor gives up, the server says so and ends with a status of its own", () =>
    Effect.gen(function* () {
      const running = yield* server(undefined, { ESPALIER_CHAOS: "1" })
      const unknown = yield* espalier(running, "kill", "espalier/nobody")
      assert.strictEqual(unknown.status, errorCodes.ChildNotFound.exit)
      const client = yield* Client.make(running)
      for (let crash = 0; crash < 4; crash++) {
        yield* client.KillChild({ path: "espalier/coordinators" })
        yield* Effect.sleep("200 millis")
      }
      const { status, stderr } = yield* Effect.promise(() => running.running.ended)
      assert.strictEqual(status, errorCodes.RuntimeGaveUp.exit, stderr)
      assert.match(stderr, /espalier gives up: 3 restarts were not enough/)
      assert.match(stderr, /error: the runtime gave up/)
    }).pipe(Effect.scoped)
  )
})
