/** A server as people run it, over a model that a test scripts: the whole way from a message to an answer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import * as Client from "../../src/client.ts"
import { server } from "../support/CommandLine.ts"
import { eventually } from "../support/eventually.ts"
import * as ModelServer from "../support/ModelServer.ts"

const { calls, gate, refuses, says, silence, thinks, words } = ModelServer

const environment = (models: ModelServer.ModelServer, more: Record<string, string> = {}) => ({
  ESPALIER_MODEL: "openai-compatible/scripted",
  ESPALIER_MODEL_URL: models.url,
  ...more
})

const eventsUntilEnd = (sessionId: SessionId, from = 1) =>
  Client.follow(Topic.ofSession(sessionId), { from }).pipe(
    Stream.flatMap((delivery) => (delivery._tag === "Event" ? Stream.succeed(delivery.event) : Stream.empty)),
    Stream.takeUntil(({ _tag }) => _tag === "TurnEnded"),
    Stream.runCollect
  )

const converse = Effect.fnUntraced(function* (text: string) {
  const espalier = yield* Client.Client
  const session = yield* espalier.StartSession({})
  yield* espalier.SendMessage({ sessionId: session.id, text })
  return { id: session.id, events: yield* eventsUntilEnd(session.id) }
})

describe("a server with a model", () => {
  it.live("answers with the help of tools, and shows the model what they gave", () =>
    Effect.gen(function* () {
      const models = yield* ModelServer.make((_, index) =>
        index === 0
          ? [...thinks("I should look."), ...calls(["no_such_tool", "{}"], ["generate_report", '{"sessionId":12}'])]
          : says("There is no ", "such tool.")
      )
      const { url } = yield* server(undefined, environment(models))
      const { events } = yield* Effect.provide(converse("look"), Client.layer({ url }))
      assert.deepInclude(events.at(-2), { _tag: "MessageSettled", text: "There is no such tool." })
      assert.deepInclude(events.at(-1), { _tag: "TurnEnded", outcome: "completed" })
      const call = events.find(({ _tag }) => _tag === "ToolCallRequested")
      assert(call?._tag === "ToolCallRequested")
      assert.deepInclude(call.answer, { model: "openai-compatible/scripted" })
      assert.deepStrictEqual(call.answer?.usage, {
        inputTokens: 12,
        outputTokens: 5,
        cachedTokens: 4,
        reasoningTokens: 0
      })
      const [, second] = models.asked
      assert.isAbove(second?.body.tools?.length ?? 0, 2)
      const shown = second?.body.messages ?? []
      assert.strictEqual(shown.find(({ role }) => role === "assistant")?.reasoning_content, "I should look.")
      const results = shown.filter(({ role }) => role === "tool").map(({ content }) => String(content))
      assert.include(results[0], "tool_not_found")
      assert.include(results[1], "invalid_input")
    }).pipe(Effect.scoped)
  )

  it.live("killed in the middle of an answer, gives it after the next start", () =>
    Effect.gen(function* () {
      const models = yield* ModelServer.make(() => [...words("Half of"), silence])
      const first = yield* server(undefined, environment(models))
      const id = yield* Effect.gen(function* () {
        const espalier = yield* Client.Client
        const session = yield* espalier.StartSession({})
        yield* espalier.SendMessage({ sessionId: session.id, text: "go" })
        yield* eventually("the model speaks", () => models.asked.length === 1 && models.open() === 1)
        return session.id
      }).pipe(Effect.provide(Client.layer({ url: first.url })))
      first.running.process.kill("SIGKILL")
      yield* Effect.promise(() => first.running.ended)
      yield* eventually("its request is gone", () => models.open() === 0)
      models.follow(() => says("The whole of it."))
      const second = yield* server(first.dataDirectory, environment(models))
      const events = yield* Effect.provide(eventsUntilEnd(id), Client.layer({ url: second.url }))
      const said = events.filter(({ _tag }) => _tag === "MessageSettled")
      assert.strictEqual(said.length, 1)
      assert.deepInclude(said[0], { text: "The whole of it.", partial: false })
      assert.strictEqual(events.filter(({ _tag }) => _tag === "TurnStarted").length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("hangs up on the model when the turn is cancelled, and keeps what was said", () =>
    Effect.gen(function* () {
      let open = () => {}
      const opened = new Promise<void>((resolve) => (open = resolve))
      const models = yield* ModelServer.make(() => [...words("So far"), gate(opened), ...words(" so good"), silence])
      const { url } = yield* server(undefined, environment(models))
      yield* Effect.gen(function* () {
        const espalier = yield* Client.Client
        const { id } = yield* espalier.StartSession({})
        yield* espalier.SendMessage({ sessionId: id, text: "go" })
        yield* Client.follow(Topic.ofSession(id), { from: 1 }).pipe(
          Stream.tap((delivery) =>
            delivery._tag === "Event" && delivery.event._tag === "TurnStarted" ? Effect.sync(open) : Effect.void
          ),
          Stream.takeUntil((delivery) => delivery._tag === "Ephemeral" && delivery.event._tag === "TextDelta"),
          Stream.runDrain
        )
        yield* espalier.CancelTurn({ sessionId: id })
        yield* eventually("the request is gone", () => models.open() === 0 && models.abandoned() === 1)
        const messages = yield* espalier.GetMessages({ sessionId: id, limit: 10 })
        const last = messages.at(-1)
        assert(last?._tag === "AssistantMessage")
        assert.isTrue(last.partial)
        assert.include(last.text, "So far")
      }).pipe(Effect.provide(Client.layer({ url })))
    }).pipe(Effect.scoped)
  )

  it.live("asks again after a refusal that passes, and says what a refused key means", () =>
    Effect.gen(function* () {
      const models = yield* ModelServer.make((_, index) => (index === 0 ? refuses(503, "later") : says("Now.")))
      const { url } = yield* server(undefined, environment(models, { ESPALIER_MODEL_KEY: "sk-secret" }))
      yield* Effect.gen(function* () {
        const { events } = yield* converse("go")
        assert.deepInclude(events.at(-1), { outcome: "completed" })
        models.follow(() => refuses(401, "Incorrect API key provided: sk-secret"))
        const failed = (yield* converse("go")).events.at(-1)
        assert(failed?._tag === "TurnEnded")
        assert.strictEqual(failed.failure?.code, "model_auth")
        assert.notInclude(JSON.stringify(failed), "sk-secret")
      }).pipe(Effect.provide(Client.layer({ url })))
    }).pipe(Effect.scoped)
  )

  it.live("refuses to start with a model that cannot be used, and says what to set", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(
        Effect.tryPromise(() => Effect.runPromise(Effect.scoped(server(undefined, { ESPALIER_MODEL: "openai/gpt-5" }))))
      )
      assert.include(String(failure.cause), "set OPENAI_API_KEY or ESPALIER_MODEL_KEY")
    })
  )
})
