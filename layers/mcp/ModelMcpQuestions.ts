/** `McpQuestions` by the runtime's model: it completes texts for servers that were granted that, and asks nobody. */
import { Effect, Layer } from "effect"
import { LanguageModel, Prompt } from "effect/ai"
import { McpQuestions, type SamplingRequest } from "../../services/mcp/McpQuestions.ts"

/** For one answer. */
const patience = "2 minutes"
/** Characters of an answer: what the tokens of the budget come to, amply. */
const maxAnswer = 8 * 1_024

const text = (text: string) => Prompt.makePart("text", { text })

const promptOf = ({ messages, system }: SamplingRequest): Prompt.Prompt =>
  Prompt.fromMessages([
    ...(system === "" ? [] : [Prompt.makeMessage("system", { content: system })]),
    ...messages.map((message) =>
      message.role === "user"
        ? Prompt.makeMessage("user", { content: [text(message.text)] })
        : Prompt.makeMessage("assistant", { content: [text(message.text)] })
    )
  ])

const make = Effect.gen(function* () {
  const model = yield* LanguageModel.LanguageModel
  return McpQuestions.of({
    sample: (request) =>
      model.generateText({ prompt: promptOf(request) }).pipe(
        Effect.map(({ text }) => ({ model: "espalier", text: text.slice(0, maxAnswer) })),
        Effect.mapError(({ message }) => `the model could not answer: ${message.slice(0, 500)}`),
        Effect.timeoutOrElse({
          duration: patience,
          orElse: () => Effect.fail("the model did not answer in time")
        })
      )
  })
})

export const layer = Layer.effect(McpQuestions, make)
