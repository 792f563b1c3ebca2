/** How a limit shows in a tool's own terms: to a model as a failure in words, to a caller as the limit itself. */
import { ToolFailure } from "../tools/Tool.ts"
import { BreakerOpen } from "./Breakers.ts"
import { RateLimited } from "./RateLimits.ts"

const rateLimited = "rate_limited"
const breakerOpen = "breaker_open"

/** Name of a tool's rate limit and of its circuit breaker. */
export const ofTool = (tool: string) => `tool:${tool}`

export const failureOf = (refusal: RateLimited | BreakerOpen): ToolFailure =>
  new ToolFailure({
    code: refusal._tag === "RateLimited" ? rateLimited : breakerOpen,
    message: refusal.message,
    ...(refusal.retryAfter === undefined ? {} : { retryAfter: refusal.retryAfter })
  })

/** The limit that refused a tool's call, if one did. */
export const refusalOf = (
  tool: string,
  { code, retryAfter = 0 }: ToolFailure
): RateLimited | BreakerOpen | undefined => {
  if (code === rateLimited) return new RateLimited({ limit: ofTool(tool), retryAfter })
  if (code === breakerOpen) return new BreakerOpen({ breaker: ofTool(tool), retryAfter })
  return undefined
}
