/** What a Vercel AI SDK provider answers, in the words of `effect/ai`. */
import type {
  LanguageModelV4Content,
  LanguageModelV4FinishReason,
  LanguageModelV4StreamPart,
  LanguageModelV4ToolCall,
  LanguageModelV4Usage,
  SharedV4ProviderMetadata
} from "@ai-sdk/provider"
import { Schema } from "effect"
import { type Response, Tool } from "effect/ai"
import { write } from "../../../services/model/ownMetadata.ts"
import { costOf, type Price } from "../../../services/model/Usage.ts"

export type StreamPart = Response.StreamPartEncoded

/** Who answers, and what its tokens cost. */
export interface Answerer {
  readonly name: string
  readonly price: Price | undefined
}

const toJson = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Record(Schema.String, Schema.MutableJson)))

/** Providers leave keys undefined, which JSON does not know. */
const metadata = (
  told: SharedV4ProviderMetadata | undefined
): { readonly metadata?: Record<string, Schema.MutableJson> } =>
  told === undefined || Object.keys(told).length === 0 ? {} : { metadata: toJson(JSON.stringify(told)) }

const count = (tokens: number | undefined): number | undefined =>
  tokens !== undefined && Number.isFinite(tokens) && tokens >= 0 ? Math.round(tokens) : undefined

const usageOf = ({ inputTokens, outputTokens }: LanguageModelV4Usage): typeof Response.Usage.Encoded => ({
  inputTokens: {
    uncached: count(inputTokens.noCache),
    total: count(inputTokens.total),
    cacheRead: count(inputTokens.cacheRead),
    cacheWrite: count(inputTokens.cacheWrite)
  },
  outputTokens: {
    total: count(outputTokens.total),
    text: count(outputTokens.text),
    reasoning: count(outputTokens.reasoning)
  }
})

const reasonOf = ({ unified }: LanguageModelV4FinishReason): Response.FinishReason =>
  unified === "interrupted" ? "error" : unified

export const finishPart = (
  { name, price }: Answerer,
  finishReason: LanguageModelV4FinishReason,
  taken: LanguageModelV4Usage
): Response.FinishPartEncoded => {
  const usage = usageOf(taken)
  const cost =
    price === undefined
      ? undefined
      : costOf(
          {
            inputTokens: usage.inputTokens.total ?? 0,
            outputTokens: usage.outputTokens.total ?? 0,
            cachedTokens: usage.inputTokens.cacheRead ?? 0,
            cacheWriteTokens: usage.inputTokens.cacheWrite ?? 0
          },
          price
        )
  return {
    type: "finish",
    reason: reasonOf(finishReason),
    usage,
    metadata: write({ model: name, ...(cost === undefined ? undefined : { cost }) })
  }
}

/** Text that is not JSON becomes nothing at all, which no tool takes for its arguments. */
const paramsOf = (input: string): unknown => {
  if (input.trim() === "") return {}
  try {
    return Tool.unsafeSecureJsonParse(input)
  } catch {
    return undefined
  }
}

const callPart = (part: LanguageModelV4ToolCall): Response.ToolCallPartEncoded => ({
  type: "tool-call",
  id: part.toolCallId,
  name: part.toolName,
  params: paramsOf(part.input),
  ...(part.providerExecuted === undefined ? undefined : { providerExecuted: part.providerExecuted }),
  ...metadata(part.providerMetadata)
})

const sharedPart = (part: LanguageModelV4Content): StreamPart | undefined => {
  switch (part.type) {
    case "tool-call":
      return callPart(part)
    case "tool-result":
      return {
        type: "tool-result",
        id: part.toolCallId,
        name: part.toolName,
        result: part.result,
        isFailure: part.isError ?? false,
        providerExecuted: true,
        ...metadata(part.providerMetadata)
      }
    case "file":
      return part.data.type === "data"
        ? {
            type: "file",
            mediaType: part.mediaType,
            data: typeof part.data.data === "string" ? part.data.data : Buffer.from(part.data.data).toString("base64"),
            ...metadata(part.providerMetadata)
          }
        : undefined
    case "source":
      return part.sourceType === "url"
        ? {
            type: "source",
            sourceType: "url",
            id: part.id,
            url: part.url,
            title: part.title ?? part.url,
            ...metadata(part.providerMetadata)
          }
        : {
            type: "source",
            sourceType: "document",
            id: part.id,
            mediaType: part.mediaType,
            title: part.title,
            ...(part.filename === undefined ? undefined : { fileName: part.filename }),
            ...metadata(part.providerMetadata)
          }
    default:
      return undefined
  }
}

/** A part of a stream; what `effect/ai` has no word for is left out. Errors are not parts: see `apiErrors.ts`. */
export const streamPart = (
  answerer: Answerer,
  part: Exclude<LanguageModelV4StreamPart, { type: "error" }>
): StreamPart | undefined => {
  switch (part.type) {
    case "text-delta":
    case "reasoning-delta":
      return { type: part.type, id: part.id, delta: part.delta, ...metadata(part.providerMetadata) }
    case "text-start":
    case "text-end":
    case "reasoning-start":
    case "reasoning-end":
      return { type: part.type, id: part.id, ...metadata(part.providerMetadata) }
    case "tool-input-start":
      return {
        type: "tool-params-start",
        id: part.id,
        name: part.toolName,
        ...(part.providerExecuted === undefined ? undefined : { providerExecuted: part.providerExecuted })
      }
    case "tool-input-delta":
      return { type: "tool-params-delta", id: part.id, delta: part.delta }
    case "tool-input-end":
      return { type: "tool-params-end", id: part.id }
    case "response-metadata":
      return {
        type: "response-metadata",
        ...(part.id === undefined ? undefined : { id: part.id }),
        modelId: answerer.name
      }
    case "finish":
      return finishPart(answerer, part.finishReason, part.usage)
    case "tool-call":
    case "tool-result":
    case "file":
    case "source":
      return sharedPart(part)
    default:
      return undefined
  }
}

/** Characters at which a delta takes no more: what is read ahead stays bounded. */
const LONG = 4_096

/** A delta and the next one of the same text as one. */
export const joinDeltas = (last: StreamPart, next: StreamPart): StreamPart | undefined =>
  (last.type === "text-delta" || last.type === "reasoning-delta" || last.type === "tool-params-delta") &&
  last.type === next.type &&
  last.id === next.id &&
  last.metadata === undefined &&
  next.metadata === undefined &&
  last.delta.length < LONG
    ? { type: last.type, id: last.id, delta: last.delta + next.delta }
    : undefined

/** A part of an answer that came as a whole. */
export const contentPart = (part: LanguageModelV4Content): Response.PartEncoded | undefined => {
  if (part.type === "text" || part.type === "reasoning") {
    return { type: part.type, text: part.text, ...metadata(part.providerMetadata) }
  }
  const shared = sharedPart(part)
  switch (shared?.type) {
    case "tool-call":
    case "tool-result":
    case "file":
    case "source":
      return shared
    default:
      return undefined
  }
}
