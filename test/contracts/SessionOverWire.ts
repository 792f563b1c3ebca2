/**
 * What a session's conversation promises over the wire of a provider that takes back only what it gave, in its order, and
 * no call without its result. Whatever happened to the session, the next request is accepted.
 */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Random, type Scope } from "effect"
import type { EventBus } from "../../services/events/EventBus.ts"
import type { Journal } from "../../services/journal/Journal.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { eventually } from "../support/eventually.ts"
import { eventsOf, inProcess, is, layerDurable, type Options, SessionWorld, until } from "../support/SessionWorld.ts"
import { configuredModel } from "../support/wire/configuredModel.ts"
import * as Wire from "../support/wire/Wire.ts"
import { ended } from "./SessionManager.ts"

const { call, cut, raw, serve, silence, TAKEN, text, thought } = Wire

type Around = SessionManager | EventBus | Journal | SessionWorld | Scope.Scope

const send = (id: SessionId, text = "go") => SessionManager.use((manager) => manager.send({ sessionId: id, text }))

const start = Effect.fnUntraced(function* (text = "go") {
  const { id } = yield* SessionManager.use((manager) => manager.start({}))
  yield* send(id, text)
  return id
})

const endOf = (id: SessionId, turns: number) =>
  Effect.gen(function* () {
    yield* ended(id, turns)
    const ends = (yield* eventsOf(id)).flatMap(({ event }) => (event._tag === "TurnEnded" ? [event] : []))
    const last = ends.at(-1)
    return last === undefined ? assert.fail("no turn has ended") : last
  })

const assistants = ({ turns }: Wire.Heard) => turns.flatMap((turn) => (turn.role === "assistant" ? [turn.blocks] : []))
const results = ({ turns }: Wire.Heard) => turns.flatMap((turn) => (turn.role === "results" ? [turn.results] : []))
/** Blocks without the ids, which the session makes. */
const shapes = (blocks: ReadonlyArray<Wire.Block> | undefined) =>
  blocks?.map((block) => (block.type === "call" ? `call ${block.name} ${block.args}` : `${block.type} ${block.text}`))

export const sessionOverWireContract = (wire: Wire.Wire) => {
  const live = <E>(
    name: string,
    test: (
      server: Wire.WireServer,
      inOne: <A, E2, R>(
        effect: Effect.Effect<A, E2, R>,
        options?: Options
      ) => Effect.Effect<A, E2, Exclude<R, Around> | SessionWorld | Journal>
    ) => Effect.Effect<void, E, Journal | SessionWorld>
  ) =>
    it.live(name, () =>
      Effect.gen(function* () {
        const server = yield* serve(wire, () => wire.answer([text("ok")]))
        // Each is a process of its own over the same journal.
        const inOne = <A, E2, R>(effect: Effect.Effect<A, E2, R>, options: Options = {}) =>
          inProcess({ ...options, model: configuredModel(wire, server.url) })(effect) as Effect.Effect<
            A,
            E2,
            Exclude<R, Around> | SessionWorld | Journal
          >
        yield* test(server, inOne)
        assert.deepStrictEqual(server.mistakes, [])
      }).pipe(
        Effect.provideService(Random.Random, { nextDoubleUnsafe: () => 0.001, nextIntUnsafe: () => 0 }),
        Effect.provide(layerDurable),
        Effect.scoped
      )
    )

  live(
    "carries reasoning, text and parallel calls back as they came, with results in the order of the calls",
    (server, inOne) =>
      Effect.gen(function* () {
        const said = [
          thought("I need two."),
          text("Let me look."),
          call("x1", "wait_once", { text: "A" }),
          call("x2", "echo", { text: "B" }),
          call("x3", "failing", {})
        ]
        server.follow((_, index) => wire.answer(index === 0 ? said : [thought("Both are there."), text("Done.")]))
        const order = [
          "thought I need two.",
          "text Let me look.",
          'call wait_once {"text":"A"}',
          'call echo {"text":"B"}',
          "call failing {}"
        ]
        const check = (heard: Wire.Heard | undefined) => {
          assert(heard !== undefined)
          const blocks = assistants(heard)[0]
          assert.deepStrictEqual(shapes(blocks), order)
          const [told = []] = results(heard)
          assert.deepStrictEqual(
            told.map(({ id }) => id),
            blocks?.flatMap((block) => (block.type === "call" ? [block.id] : []))
          )
          assert.strictEqual(told[0]?.text, "first")
          assert.strictEqual(told[1]?.text, "B")
          assert.include(told[2]?.text, "try another day")
        }
        const id = yield* inOne(
          Effect.gen(function* () {
            const id = yield* start()
            const world = yield* SessionWorld
            // The second call ends before the first.
            yield* eventually("the others ran", () => world.runs.length === 3)
            yield* Deferred.succeed(world.gate("wait_once"), "first")
            assert.strictEqual((yield* endOf(id, 1)).outcome, "completed")
            return id
          })
        )
        check(server.heard[1])
        // After a restart all of it comes from the journal.
        yield* inOne(Effect.andThen(send(id, "and now?"), endOf(id, 2)))
        const last = server.heard[2]
        check(last)
        assert(last !== undefined)
        assert.deepStrictEqual(shapes(assistants(last)[1]), ["thought Both are there.", "text Done."])
      })
  )

  live("tells what an answer took, from the cache and in thought too, and what it cost", (server, inOne) =>
    Effect.gen(function* () {
      server.follow(() => wire.answer([thought("Hm."), text("Yes.")]))
      const id = yield* inOne(Effect.tap(start(), (id) => endOf(id, 1)))
      const settled = (yield* eventsOf(id)).flatMap(({ event }) => (event._tag === "MessageSettled" ? [event] : []))
      const written = wire.provider === "anthropic" ? TAKEN.written : 0
      const { cost = 0, ...tokens } = settled[0]?.answer?.usage ?? assert.fail("no usage")
      assert.deepStrictEqual(tokens, {
        inputTokens: TAKEN.input,
        outputTokens: TAKEN.output,
        cachedTokens: TAKEN.cached,
        ...(written > 0 && { cacheWriteTokens: written }),
        reasoningTokens: TAKEN.reasoning
      })
      const plain = TAKEN.input - TAKEN.cached - written
      assert.closeTo(cost, (plain + TAKEN.cached * 0.1 + written * 1.25 + TAKEN.output * 10) / 1_000_000, 1e-12)
    })
  )

  live("goes on after an answer that was cancelled in the middle, with what was said", (server, inOne) =>
    Effect.gen(function* () {
      server.follow(() => [...wire.unfinished([thought("Hm."), text("So far so good")]), silence])
      const id = yield* inOne(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const id = yield* start()
          yield* eventually("it speaks", () => server.requests.open() === 1)
          yield* Effect.sleep("100 millis")
          yield* manager.cancelTurn(id)
          yield* eventually("the request is gone", () => server.requests.open() === 0)
          assert.strictEqual(server.requests.abandoned(), 1)
          return id
        })
      )
      server.follow(() => wire.answer([text("ok")]))
      yield* inOne(Effect.andThen(send(id, "go on"), endOf(id, 2)))
      const last = server.heard.at(-1)
      assert(last !== undefined)
      assert.deepStrictEqual(shapes(assistants(last)[0]), ["text So far so good"])
    })
  )

  live(
    "goes on after calls that were cancelled, or cut off by a crash, or denied: each has a result",
    (server, inOne) =>
      Effect.gen(function* () {
        const world = yield* SessionWorld
        const steps = [
          [thought("a"), call("x1", "echo", { text: "A" }), call("x2", "wait_once", {})],
          [text("b"), call("x3", "wait_other", {}), call("x4", "wait_once", {})],
          [thought("c"), call("x5", "guarded", {}), call("x6", "echo", { text: "C" })]
        ]
        server.follow((_, index) => wire.answer(steps[index] ?? [text("ok")]))
        const id = yield* inOne(
          Effect.gen(function* () {
            const manager = yield* SessionManager
            const id = yield* start()
            yield* eventually("it runs", () => world.runs.length === 2)
            yield* manager.cancelTurn(id)
            yield* send(id, "once more")
            yield* eventually("they run", () => world.runs.length === 4)
            return id
          })
        )
        world.forgetGates()
        yield* Deferred.succeed(world.gate("wait_other"), "other")
        yield* inOne(
          Effect.gen(function* () {
            const manager = yield* SessionManager
            // The turn that was cut off goes on, to a call that has to be allowed.
            const { hash, permissionId } = yield* until(id, is("PermissionRequested"))
            yield* manager.resolvePermission({ sessionId: id, permissionId, hash, decision: "deny" })
            assert.strictEqual((yield* endOf(id, 2)).outcome, "completed")
          })
        )
        const last = server.heard.at(-1)
        assert(last !== undefined)
        assert.deepStrictEqual(
          results(last).map((told) =>
            told.map(({ text }) => /cancelled|interrupted|permission_denied|other|A|C/.exec(text)?.[0])
          ),
          [
            ["A", "cancelled"],
            ["other", "interrupted"],
            ["permission_denied", "C"]
          ]
        )
      })
  )

  live("goes on after answers that were no whole ones, whatever they end in", (server, inOne) =>
    Effect.gen(function* () {
      const answers: ReadonlyArray<Wire.Reply> = [
        // Ended in a thought, once the calls that may not be run are gone.
        wire.answer([thought("a"), text("b"), thought("c"), call("x", "echo", { text: "d" })], "length"),
        wire.answer([thought("only this")], "length"),
        wire.answer([text("I would rather ")], "filtered"),
        [...wire.unfinished([thought("e"), text("f")]), wire.errorEvent("overloaded")],
        [...wire.unfinished([text("g")]), raw('data: {"ty'), cut],
        wire.unfinished([text("h"), call("x", "echo", { text: "i" })]),
        // Nothing but room.
        wire.answer([text("\n\n")], "length")
      ]
      const id = yield* inOne(
        Effect.gen(function* () {
          const { id } = yield* SessionManager.use((manager) => manager.start({}))
          for (const [index, reply] of answers.entries()) {
            server.follow(() => reply)
            yield* send(id, `question ${index}`)
            const end = yield* endOf(id, index + 1)
            assert.strictEqual(end.outcome, "failed", `answer ${index}`)
          }
          return id
        })
      )
      const world = yield* SessionWorld
      assert.deepStrictEqual(world.runs, [])
      server.follow(() => wire.answer([text("ok")]))
      yield* inOne(Effect.andThen(send(id, "and now?"), endOf(id, answers.length + 1)))
    })
  )

  live("goes on after blank text between thoughts and calls", (server, inOne) =>
    Effect.gen(function* () {
      server.follow((_, index) =>
        wire.answer(
          index === 0 ? [text("\n\n"), thought("a"), text(" "), call("x", "echo", { text: "A" })] : [text("ok")]
        )
      )
      const id = yield* inOne(Effect.tap(start(), (id) => endOf(id, 1)))
      const end = yield* inOne(Effect.andThen(send(id, "and now?"), endOf(id, 2)))
      assert.strictEqual(end.outcome, "completed")
    })
  )

  live(
    "refuses calls of tools that are not there, and of those that are with wrong arguments, in words that can be sent",
    (server, inOne) =>
      Effect.gen(function* () {
        const wrong = [
          call("x1", "no such tool!", {}),
          call("x2", "n".repeat(300), {}),
          call("x3", "echo", "[1, 2]"),
          call("x4", "echo", '{"text": "unfin'),
          call("x5", "echo", { text: 5 }),
          call("x6", "echo", { other: "x" })
        ]
        server.follow((_, index) => wire.answer(index === 0 ? wrong : [text("ok")]))
        const id = yield* inOne(Effect.tap(start(), (id) => endOf(id, 1)))
        const end = yield* inOne(Effect.andThen(send(id, "and now?"), endOf(id, 2)))
        assert.strictEqual(end.outcome, "completed")
        const world = yield* SessionWorld
        assert.deepStrictEqual(world.runs, [])
        const [told = []] = results(server.heard[1] ?? assert.fail("it was not told"))
        assert.deepStrictEqual(
          told.map(({ text }) => /tool_not_found|invalid_input/.exec(text)?.[0]),
          ["tool_not_found", "tool_not_found", "invalid_input", "invalid_input", "invalid_input", "invalid_input"]
        )
      })
  )

  live("goes on after texts that were cut in the middle of a character", (server, inOne) =>
    Effect.gen(function* () {
      server.follow((_, index) =>
        wire.answer(index === 0 ? [call("x", "echo", { text: "🌳".repeat(30_000) })] : [text("ok")])
      )
      const id = yield* inOne(Effect.tap(start("half a tree: \ud83c"), (id) => endOf(id, 1)))
      assert.strictEqual((yield* inOne(Effect.andThen(send(id, "and now?"), endOf(id, 2)))).outcome, "completed")
      const [told = []] = results(server.heard.at(-1) ?? assert.fail("it was not told"))
      assert.include(told[0]?.text, "(cut: the result has")
    })
  )

  live("carries back a thought that is sealed and says nothing", (server, inOne) =>
    Effect.gen(function* () {
      server.follow((_, index) =>
        wire.answer(index === 0 ? [thought(""), call("x", "echo", { text: "A" })] : [text("ok")])
      )
      const id = yield* inOne(Effect.tap(start(), (id) => endOf(id, 1)))
      yield* inOne(Effect.andThen(send(id, "and now?"), endOf(id, 2)))
      const sealed = wire.provider === "openai-compatible" ? [] : ["thought "]
      for (const heard of server.heard.slice(1)) {
        assert.deepStrictEqual(shapes(assistants(heard)[0]), [...sealed, 'call echo {"text":"A"}'])
      }
    })
  )

  live("shows pictures, with words and without", (server, inOne) =>
    Effect.gen(function* () {
      const data = Buffer.from("a picture").toString("base64")
      const attachments = [{ _tag: "Image", mediaType: "image/png", data, name: "a.png" } as const]
      const id = yield* inOne(
        Effect.gen(function* () {
          const manager = yield* SessionManager
          const { id } = yield* manager.start({})
          yield* manager.send({ sessionId: id, text: "look", attachments })
          yield* manager.send({ sessionId: id, text: " ", attachments })
          yield* ended(id, 2)
          return id
        })
      )
      yield* inOne(Effect.andThen(send(id, "again"), endOf(id, 3)))
      const users = server.heard.at(-1)?.turns.filter((turn) => turn.role === "user")
      assert.deepStrictEqual(users, [
        { role: "user", texts: ["look"], images: [data] },
        { role: "user", texts: [], images: [data] },
        { role: "user", texts: ["again"], images: [] }
      ])
    })
  )

  live("goes on after results were left out and turns were summed up", (server, inOne) =>
    Effect.gen(function* () {
      let rounds = 0
      server.follow(({ turns }) => {
        const last = turns.at(-1)
        if (last?.role === "user" && last.texts.some((text) => text.includes("Sum up")))
          return wire.answer([text("THE SUMMARY")])
        return wire.answer(
          ++rounds % 4 === 0
            ? [text(`an answer ${"a".repeat(600)}`)]
            : [thought(`thought ${rounds}`), call(`x${rounds}`, "echo", { text: "r".repeat(1_500) })]
        )
      })
      const texts = Array.from({ length: 5 }, (_, n) => `question ${n}`)
      const id = yield* inOne(
        Effect.gen(function* () {
          const { id } = yield* SessionManager.use((manager) => manager.start({}))
          for (const [n, text] of texts.entries()) {
            yield* send(id, text)
            assert.strictEqual((yield* endOf(id, n + 1)).outcome, "completed")
          }
          return id
        }),
        { tokens: 3_000 }
      )
      const told = (yield* eventsOf(id)).flatMap(({ event }) => (event._tag === "ContextCompacted" ? [event] : []))
      assert.isTrue(told.some(({ dropped }) => dropped > 0))
      assert.isTrue(told.some(({ summary }) => summary === "THE SUMMARY"))
      yield* inOne(Effect.andThen(send(id, "and now?"), endOf(id, texts.length + 1)), { tokens: 3_000 })
      assert.include(JSON.stringify(server.heard.at(-1)?.turns), "THE SUMMARY")
    })
  )

  const failures: ReadonlyArray<readonly [string, Wire.Reply, string]> = [
    ["a key that is refused", wire.refusal(401, "invalid key sk-secret"), "model_auth"],
    ["a conversation that is too long", wire.tooLong, "context_too_long"],
    ["a limit for a long time", wire.refusal(429, "slow down", { "retry-after": "900" }), "model_rate_limited"],
    ["a model that is not there", wire.refusal(404, "no such model"), "model_refused"],
    ["an answer that was cut off", wire.answer([text("so")], "length"), "answer_cut_off"],
    ["an answer that was filtered", wire.answer([text("so")], "filtered"), "answer_filtered"],
    ["trouble in the middle", [...wire.unfinished([text("so")]), wire.errorEvent("overloaded")], "model_unavailable"],
    ["a connection that breaks", [...wire.unfinished([text("so")]), raw('data: {"ty'), cut], "model_unavailable"],
    [
      "an answer without its end",
      wire.unfinished([text("so")]),
      wire.provider === "openai-compatible" ? "model_malformed" : "model_unavailable"
    ]
  ]
  it.live.each(failures)("ends its turn with a code that says what to do: %s", ([name, reply, code]) =>
    Effect.gen(function* () {
      const server = yield* serve(wire, () => reply)
      yield* Effect.gen(function* () {
        const id = yield* start()
        const end = yield* endOf(id, 1)
        assert.strictEqual(end.failure?.code, code)
        assert.notInclude(JSON.stringify(yield* eventsOf(id)), "sk-secret")
        const said = (yield* eventsOf(id)).flatMap(({ event }) => (event._tag === "MessageSettled" ? [event] : []))
        // What was said stays, marked as partial.
        assert.deepStrictEqual(
          said.map(({ partial, text }) => [text, partial]),
          Array.isArray(reply) ? [["so", true]] : [],
          name
        )
        server.follow(() => wire.answer([text("ok")]))
        yield* send(id, "and now?")
        assert.strictEqual((yield* endOf(id, 2)).outcome, "completed")
      }).pipe(inProcess({ model: configuredModel(wire, server.url) }))
      assert.deepStrictEqual(server.mistakes, [])
    }).pipe(Effect.provide(layerDurable), Effect.scoped)
  )
}
