/** `LanguageModel` for when no model is configured: it runs tools that are asked for by name, and says so. */
import { Effect, Layer, Stream } from "effect"
import { LanguageModel, type Prompt, type Response } from "effect/ai"
import { answerMessage, answerResults, type OfflineAnswer } from "../../services/model/offlineAnswer.ts"

const usage = {
  inputTokens: { uncached: 0, total: 0, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 0, text: 0, reasoning: undefined }
}

const textOf = (message: Prompt.UserMessage): string =>
  message.content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n")

/** Only what came last counts: a message is answered, and so are the results of the call it led to. */
const answer = ({ prompt, tools }: LanguageModel.ProviderOptions): OfflineAnswer => {
  const last = prompt.content.at(-1)
  if (last?.role === "tool") {
    return answerResults(
      last.content.flatMap((part) =>
        part.type === "tool-result" ? [{ tool: part.name, isFailure: part.isFailure, result: part.result }] : []
      )
    )
  }
  const offered = tools.map(({ description, name }) => ({ name, description: description ?? "" }))
  return answerMessage(last?.role === "user" ? textOf(last) : "", offered)
}

const finish = (reason: Response.FinishReason) => ({ type: "finish", reason, usage }) as const

const call = ({ args, tool }: Extract<OfflineAnswer, { readonly _tag: "CallTool" }>) =>
  ({ type: "tool-call", id: "call", name: tool, params: args }) as const

export const make = LanguageModel.make({
  generateText: (options) =>
    Effect.sync((): Array<Response.PartEncoded> => {
      const said = answer(options)
      return said._tag === "Say"
        ? [{ type: "text", text: said.text }, finish("stop")]
        : [call(said), finish("tool-calls")]
    }),
  streamText: (options) =>
    Stream.suspend(() => {
      const said = answer(options)
      const parts: Array<Response.StreamPartEncoded> =
        said._tag === "Say"
          ? [
              { type: "text-start", id: "answer" },
              { type: "text-delta", id: "answer", delta: said.text },
              { type: "text-end", id: "answer" },
              finish("stop")
            ]
          : [call(said), finish("tool-calls")]
      return Stream.fromIterable(parts)
    })
})

export const layer = Layer.effect(LanguageModel.LanguageModel, make)
