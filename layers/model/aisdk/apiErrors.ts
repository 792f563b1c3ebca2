/** What goes wrong at a provider, as the reasons of `effect/ai`: who must do something, and whether to try again. */
import {
  APICallError,
  EmptyResponseBodyError,
  InvalidResponseDataError,
  JSONParseError,
  NoSuchModelError,
  TypeValidationError,
  UnsupportedFunctionalityError
} from "@ai-sdk/provider"
import { Duration, Predicate } from "effect"
import { AiError } from "effect/ai"
import { write } from "../../../services/model/ownMetadata.ts"

/** Characters of what a provider says. */
const MAX_DESCRIPTION = 500
/** Characters of an answer's body that are looked at. */
const MAX_WORDS = 4_000
/** Longest time that a provider may ask for. */
const LONGEST_WAIT = Duration.hours(1)

const TOO_LONG =
  /context[_ ]?(length|window|size)|maximum context|(prompt|input|request|conversation) (is|are|was) too (long|large)|too many (input )?tokens|exceeds? the (available )?context|reduce the length/i
// Not every word of billing: who is asked too often may point to the page where more can be bought.
const NO_QUOTA =
  /insufficient[_ ]quota|exceeded your current quota|billing[_ ](error|hard[_ ]limit|not[_ ]active)|credit balance|payment required/i
const FILTERED = /content[_ ](policy|filter)|safety (system|filter)|flagged as/i
const LIMITED = /rate[_ ]limit|too many requests/i
const BAD_KEY = /invalid[_ ]api[_ ]key|incorrect api key|authentication[_ ]error|unauthorized/i

const describe = (text: string): string => text.replaceAll(/\s+/g, " ").trim().slice(0, MAX_DESCRIPTION)

/** `Retry-After` in seconds or as a date, or its newer sibling in milliseconds. */
export const retryAfterOf = (
  headers: Readonly<Record<string, string>> | undefined,
  now: number
): Duration.Duration | undefined => {
  const milliseconds = headers?.["retry-after-ms"]
  const seconds = headers?.["retry-after"]
  const wait =
    milliseconds !== undefined && milliseconds.trim() !== "" && Number.isFinite(Number(milliseconds))
      ? Number(milliseconds)
      : seconds === undefined || seconds.trim() === ""
        ? undefined
        : Number.isFinite(Number(seconds))
          ? Number(seconds) * 1000
          : Date.parse(seconds) - now
  if (wait === undefined || Number.isNaN(wait)) return undefined
  return Duration.min(Duration.millis(Math.max(0, wait)), LONGEST_WAIT)
}

interface Told {
  readonly status: number | undefined
  readonly description: string
  /** All that was said, to tell one state from another. */
  readonly words: string
  readonly retryAfter: Duration.Duration | undefined
}

const unavailable = ({ description, retryAfter, status }: Told) =>
  new AiError.InternalProviderError({
    description: status === undefined ? description : `${status}: ${description}`,
    metadata: retryAfter === undefined ? {} : write({ retryAfter: Duration.toMillis(retryAfter) })
  })

const tooLong = (description: string) =>
  new AiError.InvalidRequestError({ description, metadata: write({ code: "context_too_long" }) })

/** By status first, and by the words where statuses are ambiguous. */
const reasonOf = (told: Told): AiError.AiErrorReason => {
  const { description, retryAfter, status, words } = told
  switch (status) {
    case 401:
      return new AiError.AuthenticationError({ kind: "InvalidKey", description })
    case 402:
      return new AiError.QuotaExhaustedError({})
    case 403:
      return new AiError.AuthenticationError({ kind: "InsufficientPermissions", description })
    // By its bytes, whatever its tokens.
    case 413:
      return tooLong(description)
    case 408:
    case 409:
    case 425:
      return unavailable(told)
    default:
      if (NO_QUOTA.test(words)) return new AiError.QuotaExhaustedError({})
      if (status === 429 || LIMITED.test(words)) {
        return new AiError.RateLimitError(retryAfter === undefined ? {} : { retryAfter })
      }
      if (status !== undefined && status >= 500) return unavailable(told)
      if (TOO_LONG.test(words)) return tooLong(description)
      if (FILTERED.test(words)) return new AiError.ContentPolicyError({ description })
      if (status !== undefined && status >= 400) return new AiError.InvalidRequestError({ description })
      if (BAD_KEY.test(words)) return new AiError.AuthenticationError({ kind: "InvalidKey", description })
      return unavailable(told)
  }
}

const messageOf = (error: unknown): string => {
  if (typeof error === "string") return error
  if (!Predicate.isObjectKeyword(error)) return "the provider gave no reason"
  const message = Predicate.hasProperty(error, "message") ? error.message : undefined
  const code = Predicate.hasProperty(error, "code") ? error.code : undefined
  const type = Predicate.hasProperty(error, "type") ? error.type : undefined
  const words = [message, code, type].filter((word) => typeof word === "string" || typeof word === "number")
  return words.length === 0 ? "the provider gave no reason" : words.join(" ")
}

/** What the system said of a failed connection, below the wrappers. */
const causeOf = (error: unknown): string => {
  let detail = messageOf(error)
  let cause: unknown = error
  for (let depth = 0; depth < 5 && Predicate.hasProperty(cause, "cause"); depth++) {
    cause = cause.cause
    if (Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code)) return cause.code
    if (Predicate.hasProperty(cause, "message") && Predicate.isString(cause.message) && cause.message !== "") {
      detail = cause.message
    }
  }
  return detail
}

const lost = (url: string, error: unknown) =>
  new AiError.NetworkError({ reason: "TransportError", method: "POST", url, description: describe(causeOf(error)) })

const ofCall = (error: APICallError, now: number): AiError.AiErrorReason => {
  const { responseHeaders, statusCode: status } = error
  if (status === undefined) return lost(error.url, error)
  // The answer had begun, and broke off or could not be read.
  if (status < 400) {
    return isMalformed(error.cause)
      ? new AiError.InvalidResponseError({ description: describe(messageOf(error.cause)) })
      : lost(error.url, error)
  }
  const description = describe(error.message)
  const words = `${description} ${(error.responseBody ?? "").slice(0, MAX_WORDS)}`
  return reasonOf({ status, description, words, retryAfter: retryAfterOf(responseHeaders, now) })
}

const isMalformed = (error: unknown): boolean =>
  JSONParseError.isInstance(error) ||
  TypeValidationError.isInstance(error) ||
  InvalidResponseDataError.isInstance(error) ||
  EmptyResponseBodyError.isInstance(error)

/** A stream that ended without the word that it is whole: neither its text nor its calls are. */
export const cutOff = new AiError.NetworkError({
  reason: "TransportError",
  method: "POST",
  url: "",
  description: "the answer broke off before its end"
})

/** Kinds of events that the formats without a type of their own, or with a closed list of them, know. */
const KNOWN = /^(message_(start|delta|stop)|content_block_(start|delta|stop)|ping|error)$/

/** Providers add kinds of events, and want those that are not known yet to be passed over. */
export const isUnknownEvent = (error: unknown): boolean => {
  const value: unknown = TypeValidationError.isInstance(error) ? error.value : undefined
  return (
    Predicate.hasProperty(value, "type") &&
    Predicate.isString(value.type) &&
    !KNOWN.test(value.type) &&
    !Predicate.hasProperty(value, "choices") &&
    !Predicate.hasProperty(value, "error")
  )
}

/** Of whatever a provider throws, rejects with, or sends as an error. `now` in milliseconds, for dates. */
export const toReason = (error: unknown, now: number, url = ""): AiError.AiErrorReason => {
  if (AiError.isAiErrorReason(error)) return error
  if (APICallError.isInstance(error)) return ofCall(error, now)
  if (isMalformed(error)) {
    return new AiError.InvalidResponseError({ description: describe(messageOf(error)) })
  }
  if (NoSuchModelError.isInstance(error) || UnsupportedFunctionalityError.isInstance(error)) {
    return new AiError.InvalidRequestError({ description: describe(error.message) })
  }
  if (error instanceof TypeError || (Predicate.hasProperty(error, "code") && error instanceof Error)) {
    return lost(url, error)
  }
  const description = describe(messageOf(error))
  // Of an error that came in a stream the adapter knows which status it would have been.
  const status = Predicate.hasProperty(error, "statusCode") ? error.statusCode : undefined
  return reasonOf({
    status: Predicate.isNumber(status) ? status : undefined,
    description,
    words: description,
    retryAfter: undefined
  })
}
