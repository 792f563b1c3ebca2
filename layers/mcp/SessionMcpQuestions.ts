/**
 * `McpQuestions` through the session that a server's tool runs for: its person is asked, and the runtime's model answers
 * within its budget and on its account.
 */
import { Effect, Layer } from "effect"
import { LanguageModel, Prompt } from "effect/ai"
import { endSampled } from "../../services/mcp/endSampled.ts"
import { McpQuestions, type SamplingRequest } from "../../services/mcp/McpQuestions.ts"
import { MaxOutputTokens } from "../../services/model/MaxOutputTokens.ts"
import type { ModelAnswer } from "../../services/model/ModelAnswer.ts"
import { read } from "../../services/model/ownMetadata.ts"
import { usageOf } from "../../services/model/usageOf.ts"
import { PER_TOKEN } from "../../services/session/Compaction.ts"
import { SessionDesk } from "../../services/session/SessionDesk.ts"

/** For one answer of the model. */
const patience = "2 minutes"

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

/** In tokens. */
const shownOf = ({ messages, system }: SamplingRequest): number =>
  Math.ceil(messages.reduce((size, { text }) => size + text.length, system.length) / PER_TOKEN)

/** What is known of an answer besides its text: nothing, where the provider does not count. */
const answerOf = ({ content }: LanguageModel.GenerateTextResponse<{}>): ModelAnswer | undefined => {
  const finish = content.find((part) => part.type === "finish")
  if (finish === undefined) return undefined
  const metadata = content.find((part) => part.type === "response-metadata")
  const { cost, model = metadata?.modelId } = read(finish.metadata)
  const usage = usageOf(finish.usage, cost)
  if (usage.inputTokens === 0 && usage.outputTokens === 0 && model === undefined) return undefined
  return { ...(model === undefined ? undefined : { model }), usage }
}

const make = Effect.gen(function* () {
  const model = yield* LanguageModel.LanguageModel
  const desk = yield* SessionDesk

  const complete = (request: SamplingRequest) =>
    model.generateText({ prompt: promptOf(request) }).pipe(
      Effect.provideService(MaxOutputTokens, request.maxTokens),
      Effect.map((response) => {
        const answer = answerOf(response)
        return {
          answer,
          model: answer?.model ?? "espalier",
          ...endSampled(request, response.text, response.finishReason)
        }
      }),
      Effect.mapError(({ message }) => `the model could not answer: ${message.slice(0, 500)}`),
      Effect.timeoutOrElse({
        duration: patience,
        orElse: () => Effect.fail("the model did not answer in time")
      })
    )

  return McpQuestions.of({
    sample: (request) =>
      Effect.map(
        desk.charge({ ...request, shown: shownOf(request) }, complete(request)),
        ({ model, stopReason, text }) => ({
          model,
          stopReason,
          text
        })
      ),
    ask: desk.ask
  })
})

export const layer = Layer.effect(McpQuestions, make)
