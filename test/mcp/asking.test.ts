/**
 * The official server that asks, through a whole session: a model calls its tools, a person answers over RPC, and what
 * comes of it reaches the model.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Logger, Stream } from "effect"
import { LanguageModel, type Response } from "effect/ai"
import { RpcTest } from "effect/rpc"
import * as GatewayHandlers from "../../layers/gateway/GatewayHandlers.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { GatewayRpcs } from "../../services/gateway/GatewayRpcs.ts"
import { MaxOutputTokens } from "../../services/model/MaxOutputTokens.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { inTime } from "../support/eventually.ts"
import { fake, official } from "../support/McpWorld.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { calls, says } from "../support/ScriptedModel.ts"

const usage = {
  inputTokens: { uncached: 30, total: 30, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 12, text: 12, reasoning: undefined }
}

/** Limits that the model was told for texts. */
const told: Array<number | undefined> = []
const samples: Array<string> = []

/** Calls the tool that it is told to call, says what came of it, and completes texts. */
const model = Layer.effect(
  LanguageModel.LanguageModel,
  LanguageModel.make({
    generateText: ({ prompt }) =>
      Effect.map(MaxOutputTokens, (most): Array<Response.PartEncoded> => {
        told.push(most)
        samples.push(JSON.stringify(prompt.content))
        const isCut = most !== undefined && most < 12
        return [
          { type: "text", text: isCut ? "a text that was" : "a text" },
          { type: "finish", reason: isCut ? "length" : "stop", usage }
        ]
      }),
    streamText: ({ prompt }) => {
      const last = prompt.content.at(-1)
      if (last?.role === "tool") return Stream.fromIterable(says(`heard ${JSON.stringify(last.content)}`))
      const asked = last?.role === "user" ? last.content.map((part) => (part.type === "text" ? part.text : "")) : []
      const [name = "", args = "{}"] = asked.join("").split(" ")
      return Stream.fromIterable(calls([name, JSON.parse(args)]))
    }
  })
)

const World = GatewayHandlers.layer.pipe(
  Layer.provideMerge(
    Runtime.layerMemory({
      model,
      mcpServers: {
        everything: official("everything"),
        // Shorter than a person takes.
        quick: fake({}, { deadline: "1 second" }),
        own: fake({}, { scope: "session" })
      }
    })
  ),
  Layer.provide(Logger.layer([]))
)

const client = RpcTest.makeClient(GatewayRpcs, { disableFatalDefects: true })

const elicit = "everything__trigger-elicitation-request"
const sample = "everything__trigger-sampling-request"

const eventsOf = (sessionId: SessionId) =>
  Effect.map(EventBus, (bus) =>
    bus.subscribe({ topic: Topic.ofSession(sessionId), from: 1 }).pipe(
      Stream.filter((delivery) => delivery._tag === "Event"),
      Stream.map(({ event }) => event)
    )
  )

const until = <Tag extends SessionEvent["_tag"]>(sessionId: SessionId, tag: Tag) =>
  Effect.flatMap(eventsOf(sessionId), (events) =>
    events.pipe(
      Stream.takeUntil(({ _tag }) => _tag === tag),
      Stream.runCollect,
      Effect.timeout("20 seconds")
    )
  )

/** Sends a message whose tool asks something, and gives the question. */
const asking = Effect.fnUntraced(function* (text: string) {
  const rpc = yield* client
  yield* rpc.ListTools()
  const { id: sessionId } = yield* rpc.StartSession({})
  yield* rpc.SendMessage({ sessionId, text })
  yield* until(sessionId, "QuestionAsked")
  const [question] = yield* rpc.ListQuestions({ sessionId })
  return question === undefined ? assert.fail("nothing is asked") : { rpc, sessionId, question }
})

const whole = (sessionId: SessionId) =>
  Effect.map(until(sessionId, "TurnEnded"), (events) => {
    assertLaws(events)
    const last = events.findLast((event) => event._tag === "MessageSettled")
    return { events, text: last?._tag === "MessageSettled" ? last.text.replaceAll("\\", "") : "" }
  })

describe("what an MCP server asks of a session", () => {
  layer(World, { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    it.effect("everything: a person fills in its form over RPC, and the model hears what came of it", () =>
      Effect.gen(function* () {
        const { question, rpc, sessionId } = yield* asking(elicit)
        const { questionId } = question
        assert.strictEqual(question.server, "everything")
        assert.deepInclude(yield* rpc.GetSession({ sessionId }), {
          status: "awaiting_permission",
          questions: [questionId]
        })
        const refused = yield* Effect.flip(
          rpc.AnswerQuestion({ sessionId, questionId, action: "accept", content: { email: "nowhere", integer: 0.5 } })
        )
        assert.strictEqual(refused._tag, "InvalidInput")
        assert.match(refused.message, /name: it is required; email: it has to be .*; integer: it has to be/)
        const content = { name: "Ann", check: true, titledMultipleSelectEnum: ["fish-2"], birthdate: "1815-12-10" }
        yield* rpc.AnswerQuestion({ sessionId, questionId, action: "accept", content })
        const { events, text } = yield* whole(sessionId)
        assert.include(text, "- Name: Ann")
        assert.match(text, /"titledMultipleSelectEnum": \[n *"fish-2"/)
        // Defaults of the form are the server's.
        assert.include(text, "- Favorite Integer: 42")
        const settled = events.find(({ _tag }) => _tag === "QuestionSettled")
        assert.deepInclude(settled, { questionId, action: "accept", by: "local" })
        const late = yield* Effect.flip(rpc.AnswerQuestion({ sessionId, questionId, action: "decline" }))
        assert.strictEqual(late._tag, "QuestionAlreadySettled")
      }).pipe(Effect.scoped)
    )

    it.effect("everything: declined and cancelled are told in the protocol's words", () =>
      Effect.gen(function* () {
        for (const [action, words] of [
          ["decline", "declined to provide"],
          ["cancel", "cancelled the elicitation"]
        ] as const) {
          const { question, rpc, sessionId } = yield* asking(elicit)
          yield* rpc.AnswerQuestion({ sessionId, questionId: question.questionId, action })
          assert.include((yield* whole(sessionId)).text, words)
        }
      }).pipe(Effect.scoped)
    )

    it.effect("a question withdraws with its turn, and a second session's is not taken for the first one's", () =>
      Effect.gen(function* () {
        const { rpc, sessionId } = yield* asking(elicit)
        const { id: other } = yield* rpc.StartSession({})
        yield* rpc.SendMessage({ sessionId: other, text: elicit })
        // Whose it is cannot be told: nobody is asked.
        assert.include((yield* whole(other)).text, "declined to provide")
        assert.deepStrictEqual(yield* rpc.ListQuestions({ sessionId: other }), [])
        assert.lengthOf(yield* rpc.ListQuestions({ sessionId }), 1)
        yield* rpc.CancelTurn({ sessionId })
        const { events } = yield* whole(sessionId)
        assert.deepInclude(
          events.find(({ _tag }) => _tag === "QuestionSettled"),
          { action: "withdrawn" }
        )
        assert.deepStrictEqual(yield* rpc.ListQuestions({ sessionId }), [])
      }).pipe(Effect.scoped)
    )

    it.effect("sessions with a server of their own each are asked at the same time", () =>
      Effect.gen(function* () {
        const both = yield* Effect.all([asking('own__do {"what":"form"}'), asking('own__do {"what":"form"}')], {
          concurrency: 2
        })
        for (const [at, { question, rpc, sessionId }] of both.entries()) {
          const content = { colour: at === 0 ? "r" : "g", matt: true }
          yield* rpc.AnswerQuestion({ sessionId, questionId: question.questionId, action: "accept", content })
          assert.include((yield* whole(sessionId)).text, `"colour":"${content.colour}"`)
        }
      }).pipe(Effect.scoped)
    )

    it.effect("a call is not silent while the person thinks, and the death of the server withdraws the question", () =>
      Effect.gen(function* () {
        const { question, rpc, sessionId } = yield* asking('quick__do {"what":"form"}')
        yield* Effect.sleep("2500 millis")
        assert.lengthOf(yield* rpc.ListQuestions({ sessionId }), 1)
        const content = { colour: "g", matt: false }
        yield* rpc.AnswerQuestion({ sessionId, questionId: question.questionId, action: "accept", content })
        assert.include((yield* whole(sessionId)).text, '"action":"accept"')
        const next = yield* asking('quick__do {"what":"form"}')
        yield* rpc.RestartMcpServer({ server: "quick" })
        const { events } = yield* whole(next.sessionId)
        assert.deepInclude(
          events.find(({ _tag }) => _tag === "QuestionSettled"),
          { action: "withdrawn" }
        )
      }).pipe(Effect.scoped)
    )

    it.effect("everything: the model completes its text within the tokens asked for, and the session pays", () =>
      Effect.gen(function* () {
        const rpc = yield* client
        for (const [maxTokens, stopReason, text] of [
          [100, "endTurn", "a text"],
          [7, "maxTokens", "a text that was"],
          [1_000_000, "endTurn", "a text"]
        ] as const) {
          const { id: sessionId } = yield* rpc.StartSession({})
          yield* rpc.SendMessage({ sessionId, text: `${sample} {"prompt":"hi","maxTokens":${maxTokens}}` })
          const heard = yield* whole(sessionId)
          assert.include(heard.text, `"stopReason": "${stopReason}"`)
          assert.include(heard.text, `"text": "${text}"`)
          assert.strictEqual(told.at(-1), Math.min(maxTokens, 1_024))
          assert.match(samples.at(-1) ?? "", /You are a helpful test server.*context: hi/)
          const sampled = heard.events.find(({ _tag }) => _tag === "TextSampled")
          assert.deepInclude(sampled, { server: "everything" })
          // Two rounds of the turn at 2 tokens, and the text.
          const { spent } = yield* rpc.GetSession({ sessionId })
          assert.strictEqual(spent?.tokens, 2 * 2 + 42)
        }
      }).pipe(Effect.scoped)
    )

    it.effect("everything: a session that has used up its budget pays for nothing more", () =>
      Effect.gen(function* () {
        const rpc = yield* client
        const { id: sessionId } = yield* rpc.StartSession({ limits: { sessionTokens: 40 } })
        const text = `${sample} {"prompt":"hi","maxTokens":100}`
        yield* rpc.SendMessage({ sessionId, text })
        const first = yield* whole(sessionId)
        // It was passed by the one text, and the turn ends with that.
        assert.deepInclude(first.events.at(-1), { _tag: "TurnEnded", outcome: "failed" })
        const before = told.length
        const ran = yield* rpc.RunTool({ sessionId, tool: sample, args: { prompt: "again", maxTokens: 100 } })
        if (!("workerId" in ran)) return assert.fail("it should be heavy")
        const { workerId } = ran
        yield* inTime(
          "it is refused",
          Effect.map(
            rpc.GetWorker({ workerId }),
            ({ failure, status }) =>
              status === "failed" && failure?.message.includes("used 44 of its 40 tokens") === true
          )
        )
        assert.strictEqual(told.length, before)
      }).pipe(Effect.scoped)
    )
  })
})
