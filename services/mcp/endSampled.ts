/** Where a sampled text ends, and why: as the model says, unless the request ends it before. */
import type { Response } from "effect/ai"
import type { Sampled, SamplingRequest } from "./McpQuestions.ts"

/** Characters that a token comes to at most, for models that do not keep to a number of tokens. */
const charactersPerToken = 8

const reasons: Readonly<Partial<Record<Response.FinishReason, Sampled["stopReason"]>>> = {
  length: "maxTokens",
  "content-filter": "refusal"
}

const firstOf = (text: string, sequences: ReadonlyArray<string>): number =>
  sequences.reduce((first, sequence) => {
    const at = sequence === "" ? -1 : text.indexOf(sequence)
    return at === -1 ? first : Math.min(first, at)
  }, Infinity)

export const endSampled = (
  { maxTokens, stopSequences }: Pick<SamplingRequest, "maxTokens" | "stopSequences">,
  text: string,
  reason: Response.FinishReason
): Pick<Sampled, "text" | "stopReason"> => {
  const stop = firstOf(text, stopSequences)
  const most = maxTokens * charactersPerToken
  if (stop <= most && stop !== Infinity) return { text: text.slice(0, stop), stopReason: "stopSequence" }
  return text.length > most
    ? { text: text.slice(0, most), stopReason: "maxTokens" }
    : { text, stopReason: reasons[reason] ?? "endTurn" }
}
