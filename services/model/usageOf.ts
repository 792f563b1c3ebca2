/** Usage as `effect/ai` tells it, in our words. */
import type { Response } from "effect/ai"
import type { Usage } from "./Usage.ts"

export const usageOf = ({ inputTokens, outputTokens }: Response.Usage, cost: number | undefined): Usage => ({
  inputTokens: inputTokens.total ?? 0,
  outputTokens: outputTokens.total ?? 0,
  ...(inputTokens.cacheRead === undefined ? undefined : { cachedTokens: inputTokens.cacheRead }),
  // Most providers charge nothing for it, and some of them say so each time.
  ...(inputTokens.cacheWrite === undefined || inputTokens.cacheWrite === 0
    ? undefined
    : { cacheWriteTokens: inputTokens.cacheWrite }),
  ...(outputTokens.reasoning === undefined ? undefined : { reasoningTokens: outputTokens.reasoning }),
  ...(cost === undefined ? undefined : { cost })
})
