/** What MCP servers ask, as people meet it: on the command line, in a chat and in a script. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { espalier, type Server, server, start, talk } from "../support/CommandLine.ts"
import { fake } from "../support/McpWorld.ts"
import * as PseudoTerminal from "../support/PseudoTerminal.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

/** Each command is a process, and a machine may have much to do. */
const SLOW = 120_000

const onTerminal = PseudoTerminal.isAvailable || process.env["CI"] !== undefined ? it.live : it.live.skip

/** A server with one MCP server whose tools are there. */
const serving = Effect.fnUntraced(function* () {
  const config = join(yield* temporaryDirectory, ".mcp.json")
  writeFileSync(config, JSON.stringify({ mcpServers: { paint: fake() } }))
  const running = yield* server(undefined, { ESPALIER_MCP_CONFIG: config })
  // Listings wait for a server that is seen for the first time.
  assert.include((yield* espalier(running, "tool", "list")).stdout, "paint__")
  return running
})

const newSession = (running: Server) =>
  Effect.map(espalier(running, "session", "start", "--json"), ({ stdout }) => String(JSON.parse(stdout).id))

/** Sends a message whose tool asks something, and waits until it does. */
const asking = Effect.fnUntraced(function* (running: Server, id: string, text: string) {
  const sent = yield* start(running, "session", "send", id, text, "--wait")
  yield* Effect.promise(() => sent.until("stderr", /the MCP server paint asks/))
  return sent
})

describe("what an MCP server asks", () => {
  it.live(
    "is shown and answered on the command line, and what does not fit changes nothing",
    () =>
      Effect.gen(function* () {
        const running = yield* serving()
        const id = yield* newSession(running)
        const sent = yield* asking(running, id, '/tool paint__do {"what":"form"}')
        const shown = yield* espalier(running, "session", "questions", id)
        assert.match(shown.stdout, /MCP server\s+paint\n\s*asks\s+which colour\\u\{202e\}\?/)
        assert.match(
          shown.stdout,
          /Colour \(colour\): of the fence\n {2}one of; required\n {2}1\) Red \(r\)\n {2}2\) Green \(g\)/
        )
        assert.match(shown.stdout, /coats\n {2}a whole number, at least 1, at most 3; without an answer 2/)
        assert.match(
          (yield* espalier(running, "session", "show", id)).stdout,
          /awaiting_permission[^]*questions\s+ques_/
        )
        const wrong = yield* espalier(
          running,
          "session",
          "answer",
          id,
          "--accept",
          "colour=blue",
          "--content",
          '{"coats":4}'
        )
        assert.strictEqual(wrong.status, 65)
        assert.match(wrong.stderr, /colour: it has to be one of r, g/)
        const right = yield* espalier(
          running,
          "session",
          "answer",
          id,
          "--accept",
          "colour=green",
          "--accept",
          "matt=yes"
        )
        assert.deepInclude(right, { status: 0, stderr: "" })
        const said = yield* Effect.promise(() => sent.ended)
        assert.include(said.stderr, "the MCP server paint asks: which colour\\u{202e}?")
        // The server's default counts for what was left out.
        assert.include(
          said.stdout.replaceAll("\\", ""),
          '{"action":"accept","content":{"colour":"g","matt":true,"coats":2}}'
        )
      }).pipe(Effect.scoped),
    SLOW
  )

  it.live(
    "is declined by a script, where nobody can be asked, and by a chat that a pipe holds",
    () =>
      Effect.gen(function* () {
        const running = yield* serving()
        const prompt = '/tool paint__do {"what":"form"}'
        const ran = yield* espalier(running, "run", prompt)
        assert.strictEqual(ran.status, 0)
        assert.include(ran.stderr, "declined what the MCP server paint asks: which colour\\u{202e}?")
        assert.include(ran.stdout.replaceAll("\\", ""), '{"action":"decline"}')
        const piped = yield* talk(running, ["chat"], `${prompt}\n`)
        const { stderr, stdout } = yield* Effect.promise(() => piped.ended)
        assert.include(stdout.replaceAll("\\", ""), '{"action":"decline"}')
        assert.match(stderr, /the MCP server paint asks: which colour[^]*declined/)
      }).pipe(Effect.scoped),
    SLOW
  )

  onTerminal(
    "is asked field by field in a chat, which takes what fits and says what does not",
    () =>
      Effect.gen(function* () {
        const running = yield* serving()
        const terminal = yield* PseudoTerminal.open({ rows: 60, columns: 100 }, running.url, "chat")
        const until = (what: RegExp) =>
          Effect.map(
            Effect.promise(() => terminal.until(({ lines }) => what.test(lines.join("\n")))),
            ({ lines }) => lines.join("\n")
          )
        const id = /session (ses_\w+);/.exec(yield* until(/^> $/m))?.[1] ?? ""
        terminal.type('/tool paint__do {"what":"form"}\r')
        const first = yield* until(/^colour: $/m)
        assert.match(first, /the MCP server paint asks: which colour\\u\{202e\}\?/)
        assert.match(first, /\/decline: do not tell; \/dismiss: do not be asked; it waits for/)
        assert.match(
          first,
          /Colour \(colour\): of the fence\n {2}one of; required\n {2}1\) Red \(r\)\n {2}2\) Green \(g\)/
        )
        terminal.type("blue\r")
        yield* until(/blue\nit has to be one of r, g; \/decline/)
        terminal.type("2\r")
        yield* until(/^coats: $/m)
        terminal.type("\r")
        yield* until(/sign\n {2}a text[^\n]*; may be left out\nsign: $/m)
        terminal.type("\r")
        yield* until(/matt\n {2}yes or no; required\nmatt: $/m)
        terminal.type("\r")
        yield* until(/it has to be yes or no/)
        terminal.type("no\r")
        const screen = yield* until(/answered[^]*paint__do gave:[^]*> $/)
        assert.match(
          screen.replaceAll(/[\\\n]/g, ""),
          /"action":"accept","content":\{"colour":"g","matt":false,"coats":2\}/
        )
        terminal.type('/tool paint__do {"what":"form"}\r')
        yield* until(/answered[^]*colour: $/)
        terminal.type("/decline\r")
        yield* until(/declined[^]*> $/)
        terminal.type('/tool paint__do {"what":"form"}\r')
        yield* until(/declined[^]*colour: $/)
        assert.strictEqual((yield* espalier(running, "session", "answer", id, "--cancel")).status, 0)
        yield* until(/dismissed elsewhere[^]*> $/)
      }).pipe(Effect.scoped),
    SLOW
  )
})
