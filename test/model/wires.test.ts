/** The same promises over each wire format that a configured model speaks. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LanguageModel, Prompt } from "effect/ai"
import { modelWireContract, streamed } from "../contracts/ModelWire.ts"
import { anthropicWire } from "../support/wire/AnthropicWire.ts"
import { chatWire } from "../support/wire/ChatWire.ts"
import { configuredModel } from "../support/wire/configuredModel.ts"
import { responsesWire } from "../support/wire/ResponsesWire.ts"
import { serve, text } from "../support/wire/Wire.ts"

describe("a model over Anthropic's Messages", () => modelWireContract(anthropicWire))
describe("a model over OpenAI's Responses", () => modelWireContract(responsesWire))
describe("a model over chat completions", () => modelWireContract(chatWire))

/** Where marks stand, as `system` or by the number of the message and of the block in it. */
const marksOf = (body: unknown): ReadonlyArray<string> => {
  const found: Array<string> = []
  const look = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      if (key === "cache_control") found.push(path)
      else look(inner, path === "" ? key : `${path}.${key}`)
    }
  }
  look(body, "")
  return found
}

describe("the cache of Anthropic", () => {
  it.live(
    "is told to keep the tools, the instructions, the newest message and the one before it, whatever came between",
    () =>
      Effect.gen(function* () {
        const server = yield* serve(anthropicWire, () => anthropicWire.answer([text("ok")]))
        const calls = Array.from({ length: 30 }, (_, index) => `c${index}`)
        const said = (role: "user" | "assistant", content: string) =>
          Prompt.makeMessage(role, { content: [Prompt.makePart("text", { text: content })] })
        yield* Effect.provide(
          Effect.flatMap(LanguageModel.LanguageModel, (model) =>
            streamed(
              model,
              Prompt.fromMessages([
                Prompt.makeMessage("system", { content: "Be brief." }),
                said("user", "first"),
                said("assistant", "yes"),
                said("user", "second"),
                Prompt.makeMessage("assistant", {
                  content: calls.map((id) =>
                    Prompt.makePart("tool-call", { id, name: "echo", params: {}, providerExecuted: false })
                  )
                }),
                Prompt.makeMessage("tool", {
                  content: calls.map((id) =>
                    Prompt.makePart("tool-result", {
                      id,
                      name: "echo",
                      isFailure: false,
                      result: "x",
                      providerExecuted: false
                    })
                  )
                })
              ])
            )
          ),
          configuredModel(anthropicWire, server.url)
        )
        assert.deepStrictEqual(server.mistakes, [])
        assert.deepStrictEqual(marksOf(server.heard[0]?.raw), [
          "system.0",
          "messages.2.content.0",
          "messages.4.content.29",
          "tools.0"
        ])
      }).pipe(Effect.scoped)
  )

  it.live("is not spoken of to others", () =>
    Effect.gen(function* () {
      for (const wire of [responsesWire, chatWire]) {
        const server = yield* serve(wire, () => wire.answer([text("ok")]))
        yield* Effect.provide(
          Effect.flatMap(LanguageModel.LanguageModel, (model) => streamed(model)),
          configuredModel(wire, server.url)
        )
        assert.notInclude(JSON.stringify(server.heard[0]?.raw), "cache")
      }
    }).pipe(Effect.scoped)
  )
})
