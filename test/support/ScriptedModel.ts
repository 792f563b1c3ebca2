/** A model that answers what a test tells it to, and remembers what it was asked. */
import { Effect, Layer, Stream } from "effect"
import { type AiError, LanguageModel, type Response } from "effect/ai"

export type Part = Response.StreamPartEncoded

const usage = {
  inputTokens: { uncached: 1, total: 1, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 1, text: 1, reasoning: undefined }
}

export const says = (...deltas: ReadonlyArray<string>): ReadonlyArray<Part> => [
  { type: "text-start", id: "t" },
  ...deltas.map((delta): Part => ({ type: "text-delta", id: "t", delta })),
  { type: "text-end", id: "t" },
  { type: "finish", reason: "stop", usage }
]

export const calls = (...wanted: ReadonlyArray<readonly [name: string, params: unknown]>): ReadonlyArray<Part> => [
  ...wanted.map(([name, params], index): Part => ({ type: "tool-call", id: `c${index}`, name, params })),
  { type: "finish", reason: "tool-calls", usage }
]

export type Script = (
  options: LanguageModel.ProviderOptions,
  round: number
) => ReadonlyArray<Part> | Stream.Stream<Part, AiError.AiError>

export const layer = (script: Script) => {
  let round = 0
  return Layer.effect(
    LanguageModel.LanguageModel,
    LanguageModel.make({
      generateText: () => Effect.die(new Error("turns stream")),
      streamText: (options) =>
        Stream.suspend(() => {
          const parts = script(options, round++)
          return Stream.isStream(parts) ? parts : Stream.fromIterable(parts)
        })
    })
  )
}
