import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema, Stream } from "effect"
import type { Prompt } from "effect/ai"
import { createAnthropic } from "@ai-sdk/anthropic"
import { createOpenAI } from "@ai-sdk/openai"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import * as AiSdkModel from "../../layers/model/AiSdkModel.ts"
import { offered, promptOf } from "../../layers/session/Prompt.ts"
import { fromEvents } from "../../services/session/Conversation.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import { journalOf, Step } from "../support/randomJournal.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { anthropicWire } from "../support/wire/AnthropicWire.ts"
import { chatWire } from "../support/wire/ChatWire.ts"
import { responsesWire } from "../support/wire/ResponsesWire.ts"
import { bytesOf, text, type Wire } from "../support/wire/Wire.ts"

/** Every call has its result in the message after it, in the order of the calls, and no result is without its call. */
const assertPaired = ({ content }: Prompt.Prompt): void => {
  const seen = new Set<string>()
  content.forEach((message, index) => {
    if (message.role === "assistant") {
      const asked = message.content.flatMap((part) => (part.type === "tool-call" ? [part.id] : []))
      const next = content[index + 1]
      const told =
        next?.role === "tool" ? next.content.flatMap((part) => (part.type === "tool-result" ? [part.id] : [])) : []
      assert.deepStrictEqual(told, asked)
      for (const callId of asked) {
        assert.isFalse(seen.has(callId), "a call is shown once")
        seen.add(callId)
      }
    }
    if (message.role === "tool") assert.strictEqual(content[index - 1]?.role, "assistant")
  })
}

/** A provider that refuses what the real one does. */
const strict = (wire: Wire): typeof fetch => {
  const read = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Json))
  return (_, init) => {
    wire.hear(read(init?.body), Object.fromEntries(new Headers(init?.headers)))
    return Promise.resolve(new Response(Buffer.from(bytesOf(wire.answer([text("ok")])))))
  }
}

const key = { apiKey: "sk-test", baseURL: "http://127.0.0.1/v1" }
const providers = [
  createAnthropic({ ...key, fetch: strict(anthropicWire) })(anthropicWire.model),
  createOpenAI({ ...key, fetch: strict(responsesWire) })(responsesWire.model),
  createOpenAICompatible({ ...key, name: "local", fetch: strict(chatWire) })(chatWire.model)
]

const tools = offered([
  {
    name: "echo",
    description: "",
    parameters: { type: "object" },
    annotations: {
      weight: "fast",
      idempotent: true,
      classes: [],
      needsPermission: false,
      deadline: Duration.minutes(1),
      hardCap: Duration.minutes(1)
    },
    check: () => Effect.succeed([]),
    run: () => Effect.succeed(null)
  }
])

const isInTurn = (events: ReadonlyArray<Recorded>): boolean =>
  events.reduce<SessionState | undefined>((state, event) => fold(state, event), undefined)?.turn !== undefined

describe("what reaches a provider", () => {
  it.prop(
    "has no call without its result and no result without its call, wherever the process died",
    [Schema.Array(Step).check(Schema.isMinLength(5), Schema.isMaxLength(60)), Schema.Finite, Schema.Finite],
    ([steps, one, other]) => {
      const events = journalOf(steps)
      assertLaws(events.map(({ event }) => event))
      const at = (share: number) => Math.floor((Math.abs(share) % 1) * events.length)
      // Any prefix, and any window of it: the oldest events are not read.
      for (const end of [events.length, at(one)]) {
        for (const from of [0, Math.min(end, at(other))]) {
          assertPaired(promptOf(fromEvents(events.slice(from, end)), "be brief"))
        }
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it.effect.prop(
    "is taken by providers as strict as Anthropic and OpenAI, whatever has happened to the session",
    [Schema.Array(Step).check(Schema.isMinLength(5), Schema.isMaxLength(60)), Schema.Finite],
    ([steps, share]) =>
      Effect.gen(function* () {
        const events = journalOf(steps)
        let died = Math.floor((Math.abs(share) % 1) * events.length)
        // An append is written whole or not at all.
        while (died > 0 && events[died - 1]?.at === events[died]?.at) died++
        for (const end of [events.length, died]) {
          const read = events.slice(0, end)
          // A model is asked in a turn, and at no other time.
          if (!isInTurn(read)) continue
          const prompt = promptOf(fromEvents(read), "be brief")
          for (const provider of providers) {
            const model = yield* AiSdkModel.make({ model: provider, providerOptions: { openai: { store: false } } })
            const answer = yield* Stream.runCollect(
              model.streamText({
                prompt,
                toolkit: tools,
                disableToolCallResolution: true,
                toolCallValidation: "deferred"
              })
            )
            assert.strictEqual(answer.at(-1)?.type, "finish")
          }
        }
      }),
    { arbitrary: { runs: process.env["ESPALIER_LONG"] === "1" ? 10_000 : 300 }, timeout: 600_000 }
  )
})
