/**
 * Whether a request that failed is made again, and when. Full jitter spreads those who failed together; what a provider
 * asks for with `Retry-After` is kept to; and a budget keeps retries from becoming the load that a provider breaks under.
 */
import { Duration } from "effect"
import type { AiError } from "effect/ai"
import { read } from "./ownMetadata.ts"

/** Requests for one answer, the first included. */
export const MAX_ATTEMPTS = 4
const BASE = 500
const CAP = 20_000
/** Longest wait before a retry: milliseconds. Where another model can be asked, waiting is not worth much. */
const PATIENCE = 60_000
const PATIENCE_WITH_FALLBACK = 5_000

/** How long the provider wants to be left alone, in milliseconds. */
export const retryAfterOf = (reason: AiError.AiErrorReason): number | undefined => {
  if (reason._tag === "RateLimitError") {
    return reason.retryAfter === undefined ? undefined : Duration.toMillis(reason.retryAfter)
  }
  return "metadata" in reason ? read(reason.metadata).retryAfter : undefined
}

/** Whether it says that the provider is unwell, rather than that it was asked too much or for the wrong thing. */
export const isUnwell = ({ _tag }: AiError.AiErrorReason): boolean =>
  _tag === "InternalProviderError" || _tag === "NetworkError" || _tag === "InvalidResponseError"

/** The request was not made at all: a breaker is open, or too many are under way. */
export const isNotMade = (reason: AiError.AiErrorReason): boolean =>
  reason._tag === "InternalProviderError" && read(reason.metadata).code === "model_unavailable"

/** Whether the same request may go better the next time. */
const isPassing = (reason: AiError.AiErrorReason): boolean =>
  reason._tag === "RateLimitError" ||
  (reason._tag === "InternalProviderError" && !isNotMade(reason)) ||
  (reason._tag === "NetworkError" && reason.isRetryable)

/** Another model would be told the same. */
export const isFinal = ({ _tag }: AiError.AiErrorReason): boolean => _tag === "ContentPolicyError"

/**
 * Milliseconds to wait before the next attempt, or none when there is to be no other. `attempts` were made, `random`
 * is between 0 and 1, and `fallbacks` other models are to be asked if this one is not asked again.
 */
export const planRetry = (
  reason: AiError.AiErrorReason,
  attempts: number,
  random: number,
  fallbacks: number
): number | undefined => {
  if (attempts + fallbacks >= MAX_ATTEMPTS || !isPassing(reason)) return undefined
  const wait = random * Math.min(CAP, BASE * 2 ** attempts) + (retryAfterOf(reason) ?? 0)
  return wait > (fallbacks > 0 ? PATIENCE_WITH_FALLBACK : PATIENCE) ? undefined : wait
}

/** Retries at the start, and for each call: never more than a tenth of the calls from the thousandth on. */
const RESERVE = 10
const SHARE = 0.09

export interface RetryBudget {
  left: number
}

export const makeBudget = (): RetryBudget => ({ left: RESERVE })

export const countCall = (budget: RetryBudget): void => {
  budget.left += SHARE
}

export const takeRetry = (budget: RetryBudget): boolean => {
  if (budget.left < 1) return false
  budget.left -= 1
  return true
}
