import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Schema, Stream } from "effect"
import { AiError, LanguageModel, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import * as AiSdkModel from "../../layers/model/AiSdkModel.ts"
import { MaxOutputTokens } from "../../services/model/MaxOutputTokens.ts"
import { read } from "../../services/model/ownMetadata.ts"
import { eventually } from "../support/eventually.ts"
import * as ModelServer from "../support/ModelServer.ts"

const { calls, cut, data, finish, gate, raw, refuses, says, silence, thinks, toolCall, words } = ModelServer

const echo = Tool.dynamic("echo", {
  description: "Says it again",
  parameters: { type: "object", properties: { text: { type: "string" } }, required: ["text"] }
})
const toolkit = Toolkit.make(echo)
const price = { input: 1, output: 10, cached: 0.5 }

/** A model over a server that follows the script. */
const world = <A, E>(
  script: ModelServer.Script,
  test: (
    model: LanguageModel.LanguageModel,
    server: ModelServer.ModelServer
  ) => Effect.Effect<A, E, LanguageModel.LanguageModel>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* ModelServer.make(script)
      const provider = createOpenAICompatible({
        name: "local",
        baseURL: server.url,
        apiKey: "sk-test",
        includeUsage: true,
        supportsStructuredOutputs: true
      })
      const model = yield* AiSdkModel.make({ model: provider("scripted"), price })
      return yield* Effect.provideService(test(model, server), LanguageModel.LanguageModel, model)
    })
  )

const streamed = (model: LanguageModel.LanguageModel, prompt: Prompt.RawInput = "hello") =>
  Stream.runCollect(
    model.streamText({
      prompt,
      toolkit: toolkit.pipe(Effect.provide(toolkit.toLayer({ echo: () => Effect.succeed("") }))),
      disableToolCallResolution: true,
      toolCallValidation: "deferred"
    })
  )

/** Deltas that say more of the same, as one: how many there are is nobody's promise, what they say and in which order is. */
const told = (parts: ReadonlyArray<Response.AnyPart>): ReadonlyArray<string> => {
  const found: Array<{ readonly key: string; text: string }> = []
  for (const part of parts) {
    if (!("delta" in part)) continue
    const key = `${part.type} ${part.id}`
    const last = found.at(-1)
    if (last?.key === key) last.text += part.delta
    else found.push({ key, text: `${part.type} ${part.delta}` })
  }
  return found.map(({ text }) => text)
}

const failureOf = (model: LanguageModel.LanguageModel) =>
  Effect.map(Effect.flip(streamed(model)), (error) => {
    assert.isTrue(AiError.isAiError(error))
    return error.reason
  })

describe("AiSdkModel", () => {
  it.live("tells the provider how many tokens an answer may have, where there is a limit", () =>
    world(
      ({ body }) =>
        body.stream === true
          ? says("a")
          : {
              status: 200,
              headers: { "content-type": "application/json" },
              body: JSON.stringify({
                id: "1",
                object: "chat.completion",
                created: 1,
                model: "scripted",
                choices: [{ index: 0, message: { role: "assistant", content: "a" }, finish_reason: "length" }],
                usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
              })
            },
      (model, { asked }) =>
        Effect.gen(function* () {
          const limited = Effect.provideService(MaxOutputTokens, 7)
          yield* limited(streamed(model))
          const answer = yield* limited(model.generateText({ prompt: "hello" }))
          yield* streamed(model)
          assert.strictEqual(answer.finishReason, "length")
          assert.deepStrictEqual(
            asked.map(({ body }) => body.max_tokens),
            [7, 7, undefined]
          )
        })
    )
  )

  it.live("streams text and reasoning as they come, with usage and its cost", () =>
    world(
      () => [...thinks("Let ", "me see."), ...words("Good", " morning"), ...finish()],
      Effect.fnUntraced(function* (model) {
        const parts = yield* streamed(model)
        assert.deepStrictEqual(told(parts), ["reasoning-delta Let me see.", "text-delta Good morning"])
        const last = parts.at(-1)
        assert(last?.type === "finish")
        assert.strictEqual(last.reason, "stop")
        assert.strictEqual(last.usage.inputTokens.total, 12)
        assert.strictEqual(last.usage.inputTokens.cacheRead, 4)
        assert.strictEqual(last.usage.outputTokens.total, 5)
        // 8 tokens at 1, 4 at 0.5 and 5 at 10, each per million.
        assert.deepStrictEqual(read(last.metadata), { model: "local/scripted", cost: 60 / 1_000_000 })
      })
    )
  )

  it.live("hands over each piece before the next is sent", () => {
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    return world(
      () => [...thinks("Hm"), gate(first.promise), ...words("Good"), gate(second.promise), ...says(" morning")],
      Effect.fnUntraced(function* (model) {
        let text = ""
        yield* Stream.runForEach(model.streamText({ prompt: "hello" }), (part) =>
          Effect.sync(() => {
            if ("delta" in part) text += part.delta
            if (text === "Hm") first.resolve()
            if (text === "HmGood") second.resolve()
          })
        )
        assert.strictEqual(text, "HmGood morning")
      })
    )
  })

  it.live("streams the arguments of parallel calls, and gives each call whole", () =>
    world(
      () => calls(["echo", '{"text":"one"}'], ["echo", '{"text":"two"}']),
      Effect.fnUntraced(function* (model, server) {
        const parts = yield* streamed(model)
        const params = parts.flatMap((part) => (part.type === "tool-call" ? [part.params] : []))
        assert.deepStrictEqual(params, [{ text: "one" }, { text: "two" }])
        assert.deepStrictEqual(told(parts), ['tool-params-delta {"text":"one"}', 'tool-params-delta {"text":"two"}'])
        assert.deepStrictEqual(
          server.asked[0]?.body.tools?.map((tool) => tool.function.name),
          ["echo"]
        )
      })
    )
  )

  it.live("takes nothing for an empty object, and what is not JSON for nothing", () =>
    world(
      () => calls(["echo", ""], ["echo", '{"text": "unfinish'], ["echo", "rm -rf /"]),
      Effect.fnUntraced(function* (model) {
        const parts = yield* streamed(model)
        const params = parts.flatMap((part) => (part.type === "tool-call" ? [part.params] : []))
        assert.deepStrictEqual(params, [{}, undefined, undefined])
      })
    )
  )

  it.live("sends a conversation with its calls and their results", () =>
    world(
      () => says("ok"),
      Effect.fnUntraced(function* (model, server) {
        yield* streamed(
          model,
          Prompt.fromMessages([
            Prompt.makeMessage("system", { content: "Be brief." }),
            Prompt.makeMessage("user", { content: [Prompt.makePart("text", { text: "go" })] }),
            Prompt.makeMessage("assistant", {
              content: [
                Prompt.makePart("reasoning", { text: "thinking" }),
                Prompt.makePart("tool-call", { id: "c1", name: "echo", params: { text: "x" }, providerExecuted: false })
              ]
            }),
            Prompt.makeMessage("tool", {
              content: [
                Prompt.makePart("tool-result", {
                  id: "c1",
                  name: "echo",
                  isFailure: false,
                  result: { said: "x" },
                  providerExecuted: false
                })
              ]
            })
          ])
        )
        const messages = server.asked[0]?.body.messages ?? []
        assert.deepStrictEqual(
          messages.map(({ role }) => role),
          ["system", "user", "assistant", "tool"]
        )
        assert.strictEqual(messages[2]?.reasoning_content, "thinking")
        assert.strictEqual(messages[2]?.tool_calls?.[0]?.id, "c1")
        assert.strictEqual(messages[3]?.tool_call_id, "c1")
        assert.strictEqual(messages[3]?.content, '{"said":"x"}')
        assert.strictEqual(server.asked[0]?.headers.authorization, "Bearer sk-test")
      })
    )
  )

  it.live("gives structured output by its schema", () =>
    world(
      () => ({
        status: 200,
        body: JSON.stringify({
          id: "1",
          created: 1,
          model: "scripted",
          choices: [{ index: 0, message: { role: "assistant", content: '{"city":"Bern"}' }, finish_reason: "stop" }],
          usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
        })
      }),
      Effect.fnUntraced(function* (_, server) {
        const { value } = yield* LanguageModel.generateObject({
          prompt: "which?",
          schema: Schema.Struct({ city: Schema.String }),
          objectName: "place"
        })
        assert.deepStrictEqual(value, { city: "Bern" })
        assert.include(JSON.stringify(server.asked[0]?.body.response_format), '"city"')
      })
    )
  )

  it.live("aborts the request when it is interrupted, before the first word and after", () =>
    world(
      (_, index) => (index === 0 ? [silence] : [...words("one"), silence]),
      Effect.fnUntraced(function* (model, server) {
        for (const round of [1, 2]) {
          const fiber = yield* Effect.forkChild(streamed(model))
          yield* eventually("it was asked", () => server.asked.length === round && server.open() === 1)
          yield* Effect.sleep("50 millis")
          yield* Fiber.interrupt(fiber)
          yield* eventually("the server sees it leave", () => server.abandoned() === round && server.open() === 0)
        }
      })
    )
  )

  const refusals: ReadonlyArray<readonly [string, ModelServer.Reply, string]> = [
    ["a key that is refused", refuses(401, "Incorrect API key"), "AuthenticationError"],
    ["what the key may not", refuses(403), "AuthenticationError"],
    ["an empty account", refuses(429, "You exceeded your current quota"), "QuotaExhaustedError"],
    ["too many requests", refuses(429, "slow down", { "retry-after": "7" }), "RateLimitError"],
    ["a broken server", refuses(500), "InternalProviderError"],
    ["an overloaded server", refuses(529, "Overloaded"), "InternalProviderError"],
    ["a page of a proxy", { status: 503, body: "<html>later</html>" }, "InternalProviderError"],
    ["a model that is not there", refuses(404, "no such model"), "InvalidRequestError"],
    ["a request that is wrong", refuses(400, "messages: required"), "InvalidRequestError"],
    [
      "an error in the stream",
      [...words("so far"), data('{"error":{"message":"boom","code":500}}')],
      "InternalProviderError"
    ],
    ["an event that is not JSON", [...words("so far"), data("{nonsense")], "InvalidResponseError"],
    ["an event of another shape", [data('{"choices":42}')], "InvalidResponseError"],
    ["a stream without an end", words("so far"), "InvalidResponseError"],
    ["a connection that breaks", [...words("so far"), raw('data: {"cho'), cut], "NetworkError"]
  ]
  it.live.each(refusals)("tells %s as what it is", ([, reply, tag]) =>
    world(
      () => reply,
      Effect.fnUntraced(function* (model) {
        const reason = yield* failureOf(model)
        assert.strictEqual(reason._tag, tag)
        if (reason._tag === "RateLimitError") assert.deepStrictEqual(reason.retryAfter, Duration.seconds(7))
      })
    )
  )

  it.live.each(["This model's maximum context length is 8192 tokens", "prompt is too long: 210000 tokens > 200000"])(
    "knows a conversation that is too long: %s",
    (message) =>
      world(
        () => refuses(400, message),
        Effect.fnUntraced(function* (model) {
          const reason = yield* failureOf(model)
          assert(reason._tag === "InvalidRequestError")
          assert.strictEqual(read(reason.metadata).code, "context_too_long")
        })
      )
  )

  it.live("tells a server that is not there", () =>
    Effect.gen(function* () {
      const { url } = yield* Effect.scoped(ModelServer.make(() => says("gone by now")))
      const provider = createOpenAICompatible({ name: "local", baseURL: url })
      const model = yield* AiSdkModel.make({ model: provider("m") })
      const reason = yield* failureOf(model)
      assert(reason._tag === "NetworkError")
      assert.include(reason.description, "ECONNREFUSED")
    })
  )

  it.live("reads characters that were cut in two, and several events in one piece", () => {
    const bytes = new TextEncoder().encode(
      words("Grüße ", "🌳")
        .map((step) => (step._tag === "Data" ? `data: ${step.data}\n\n` : ""))
        .join("")
    )
    return world(
      () => [...Array.from(bytes, (byte) => raw(Uint8Array.of(byte))), ...finish()],
      Effect.fnUntraced(function* (model) {
        const parts = yield* streamed(model)
        assert.strictEqual(parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join(""), "Grüße 🌳")
      })
    )
  })

  it.live("reads on while calls are interleaved", () =>
    world(
      () => {
        const a = toolCall(0, "a", "echo", '{"text":"aaaaaa"}')
        const b = toolCall(1, "b", "echo", '{"text":"bbbbbb"}')
        return [...a.flatMap((step, i) => [step, ...b.slice(i, i + 1)]), ...finish("tool_calls")]
      },
      Effect.fnUntraced(function* (model) {
        const parts = yield* streamed(model)
        const params = parts.flatMap((part) => (part.type === "tool-call" ? [part.params] : []))
        assert.deepStrictEqual(params, [{ text: "aaaaaa" }, { text: "bbbbbb" }])
      })
    )
  )
})
