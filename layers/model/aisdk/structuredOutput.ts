/**
 * Schemas of structured output in the form that a provider takes. OpenAI and Anthropic know a part of JSON Schema only: what
 * is optional has to be there and may be null, records are lists of pairs. The values are read back by the same rules, and
 * checked by all of the schema's own.
 */
import { LanguageModel } from "effect/ai"
import { toCodecAnthropic } from "effect/ai/AnthropicStructuredOutput"
import { toCodecOpenAI } from "effect/ai/OpenAiStructuredOutput"

/** `provider` as the Vercel AI SDK names it: `openai.responses`, `anthropic.messages`. */
export const structuredOutputOf = (provider: string): LanguageModel.CodecTransformer =>
  /\banthropic\b/.test(provider)
    ? toCodecAnthropic
    : /^(openai|azure)\b(?!-)/.test(provider)
      ? toCodecOpenAI
      : LanguageModel.defaultCodecTransformer
