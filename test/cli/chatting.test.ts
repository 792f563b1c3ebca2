import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { espalier, server } from "../support/CommandLine.ts"
import { eventually } from "../support/eventually.ts"
import * as ModelServer from "../support/ModelServer.ts"
import * as PseudoTerminal from "../support/PseudoTerminal.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const { calls, finish, gate, says, words } = ModelServer

const onTerminal = PseudoTerminal.isAvailable || process.env["CI"] !== undefined ? it.live : it.live.skip

/** What the model was asked last by a person, or for one. */
const lastAsked = ({ body }: ModelServer.Asked): string =>
  String(body.messages.findLast(({ role }) => role === "user")?.content)
const hasResults = ({ body }: ModelServer.Asked): boolean => body.messages.at(-1)?.role === "tool"

/** A chat on a terminal of 60 columns, with a model that follows a script. */
const chatting = (script: ModelServer.Script, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const models = yield* ModelServer.make(script)
    const running = yield* server(undefined, {
      ESPALIER_MODEL: "openai-compatible/scripted",
      ESPALIER_MODEL_URL: models.url
    })
    const terminal = yield* PseudoTerminal.open({ rows: 60, columns: 60 }, running.url, "chat", ...args)
    const until = (what: RegExp) =>
      Effect.map(
        Effect.promise(() => terminal.until(({ lines }) => what.test(lines.join("\n")))),
        ({ lines }) => lines.join("\n")
      )
    yield* until(/^> $/m)
    return { models, running, terminal, until }
  })

const sessionIn = (screen: string): string => /session (ses_\w+)/.exec(screen.replaceAll("\n", ""))?.[1] ?? ""

describe("a chat on a terminal", () => {
  onTerminal(
    "keeps what is typed during an answer whole below it, says that it waits, and shows it again in its turn",
    () =>
      Effect.gen(function* () {
        let open: () => void = () => undefined
        const opened = new Promise<void>((resolve) => (open = resolve))
        const { terminal, until } = yield* chatting((asked) =>
          lastAsked(asked) === "first"
            ? [...words("The beginning of it"), gate(opened), ...words(", and its end."), ...finish()]
            : says("Heard.")
        )
        terminal.type("first\r")
        yield* until(/The beginning of it$/m)
        const typed = "a second message, long enough to need more than one row of it"
        terminal.type(typed)
        yield* until(/^The beginning of it\n> a second/m)
        open()
        const both = yield* until(/its end\.\n> a second/)
        assert.include(both, "The beginning of it, and its end.")
        assert.include(both.replaceAll("\n", ""), `> ${typed}`)
        terminal.type("\r")
        const answered = yield* until(/Heard\.[^]*> $/)
        assert.lengthOf(answered.match(/The beginning of it/g) ?? [], 1)
      }).pipe(Effect.scoped)
  )

  onTerminal("has a message that is sent during an answer wait its turn, and /now take it", () =>
    Effect.gen(function* () {
      const held = new Promise<void>(() => undefined)
      const { terminal, until } = yield* chatting((asked) =>
        lastAsked(asked) === "first" ? [...words("For ever"), gate(held)] : says(`Heard ${lastAsked(asked)}.`)
      )
      terminal.type("first\r")
      yield* until(/For ever$/m)
      terminal.type("second\r")
      yield* until(/it comes after the answer that is being given/)
      terminal.type("/now third\r")
      const screen = yield* until(/Heard third\.[^]*Heard second\./)
      assert.match(screen, /cancelled\n> third\nHeard third\.[^]*\n> second\nHeard second\./)
    }).pipe(Effect.scoped)
  )

  onTerminal("takes what is pasted as one message, whatever lines it has", () =>
    Effect.gen(function* () {
      const { models, terminal, until } = yield* chatting(() => says("Read."))
      assert.isTrue(terminal.screen.takesPastes)
      terminal.type("see: \u001b[200~one\r\ntwo\u0003\rthree\u001b[20")
      terminal.type("1~ and\\\rfour\r")
      yield* until(/Read\./)
      assert.deepInclude(models.asked[0]?.body.messages.at(-1), { content: "see: one\ntwo\nthree and\nfour" })
    }).pipe(Effect.scoped)
  )

  onTerminal("has agents told apart, and asks one question at a time, with who wants to know", () =>
    Effect.gen(function* () {
      const repository = JSON.stringify({ repoUrl: "https://example.invalid/x.git" })
      const { running, terminal, until } = yield* chatting((asked) => {
        const text = lastAsked(asked)
        if (text === "go") {
          return hasResults(asked)
            ? says("All told.")
            : calls(["delegate", '{"task":"look left"}'], ["delegate", '{"task":"look right"}'])
        }
        return hasResults(asked) ? says(`I did ${text}.`) : calls(["analyze_codebase", repository])
      })
      terminal.type("go\r")
      const first = yield* until(/allow analyze_codebase\?/)
      assert.match(first, /agent [12] asks: may analyze_codebase \(read, network\)/)
      assert.match(first, /\* agent 1: look left/)
      yield* until(/ {2}agent 1 {2}\* analyze_codebase[^]*/)
      yield* until(/ {2}agent 2 {2}\* analyze_codebase[^]*/)
      terminal.type("perhaps\r")
      yield* until(/perhaps\n\[y\]es/)
      assert.lengthOf(terminal.screen.lines.join("\n").match(/asks: may/g) ?? [], 1)
      terminal.type("n\r")
      const second = yield* until(/denied\n[^]*asks: may[^]*allow analyze_codebase\?/)
      const id = sessionIn(second)
      const denied = yield* espalier(running, "session", "deny", id)
      assert.strictEqual(denied.status, 0, denied.stderr)
      const screen = yield* until(/All told\.[^]*> $/)
      assert.match(screen, /denied elsewhere/)
      assert.match(screen, / {2}agent 1 {2}I did look left\./)
      assert.match(screen, / {2}agent 2 {2}done/)
    }).pipe(Effect.scoped)
  )

  onTerminal("clears the line, stops the answer and leaves by Ctrl-C, and says how to go on", () =>
    Effect.gen(function* () {
      const held = new Promise<void>(() => undefined)
      const { models, running, terminal, until } = yield* chatting(() => [...words("For ever"), gate(held)])
      terminal.type("nonsense\u0003first\r")
      yield* until(/For ever$/m)
      terminal.type("\u0003")
      yield* until(/cancelled\n> $/)
      assert.deepInclude(models.asked[0]?.body.messages.at(-1), { content: "first" })
      yield* eventually("the model's request is gone", () => models.open() === 0)
      terminal.type("\u0003")
      assert.strictEqual(yield* Effect.promise(() => terminal.status), 130)
      const screen = terminal.screen.lines.join("")
      assert.isFalse(terminal.screen.takesPastes)
      const [, id = ""] = /go on with: espalier chat (ses_\w+)/.exec(screen) ?? []
      models.follow(() => says("Here again."))
      const again = yield* PseudoTerminal.open({ rows: 60, columns: 60 }, running.url, "chat", "--continue")
      const shown = yield* Effect.promise(() => again.until(({ lines }) => lines.at(-1) === "> "))
      assert.strictEqual(sessionIn(shown.lines.join("\n")), id)
      assert.include(shown.lines, "> first")
      again.type("\u001b[A\r")
      yield* Effect.promise(() => again.until(({ lines }) => lines.includes("Here again.")))
      again.type("\u0004")
      assert.strictEqual(yield* Effect.promise(() => again.status), 0)
    }).pipe(Effect.scoped)
  )

  onTerminal("sends files along, and tells the model, what was used, and the sessions there are", () =>
    Effect.gen(function* () {
      const { models, terminal, until } = yield* chatting(() => says("Seen."))
      const directory = yield* temporaryDirectory
      const file = join(directory, "to do.txt")
      writeFileSync(file, "buy bread")
      terminal.type(`look at @"${file}" or @nobody\r`)
      const seen = yield* until(/Seen\.[^]*> $/)
      assert.include(seen, "attached to do.txt")
      assert.include(JSON.stringify(models.asked[0]?.body.messages.at(-1)), "buy bread")
      terminal.type("/model\r/usage\r/sessions\r")
      const told = yield* until(/go on with one of them/)
      assert.include(told, "openai-compatible/scripted answers")
      assert.include(told, "17 tokens in 2 messages")
      assert.match(told.replaceAll("\n", ""), /1 {2}ses_\w+ {2}2 messages, [^,]+, this one {2}look at/)
      terminal.type("/new\r")
      yield* until(/session ses_[^]*session ses_[^]*> $/)
      terminal.type("/sessions 2\r")
      yield* until(/go on with one of them[^]*> look at[^]*Seen\.[^]*> $/)
      terminal.type("/quit\r")
      assert.strictEqual(yield* Effect.promise(() => terminal.status), 0)
    }).pipe(Effect.scoped)
  )
})
