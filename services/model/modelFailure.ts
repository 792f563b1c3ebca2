/** Why a model could not answer, in the runtime's own codes: `docs/errors.md` lists them. Each says what to do. */
import { Duration } from "effect"
import type { AiError, Response } from "effect/ai"
import type { Failure } from "../Failure.ts"
import { type Own, read } from "./ownMetadata.ts"

/** Characters of what a provider says went wrong. */
const MAX_DETAIL = 500

const detail = (reason: AiError.AiErrorReason): string => {
  const text = ("description" in reason ? reason.description : undefined)?.replaceAll(/\s+/g, " ").trim() ?? ""
  return text === "" ? "" : `: ${text.slice(0, MAX_DETAIL)}`
}

const fail = (code: string, message: string): Failure => ({ code, message })

const ofOwnCode = (code: NonNullable<Own["code"]>, reason: AiError.AiErrorReason): Failure => {
  switch (code) {
    case "context_too_long":
      return fail(code, `the conversation is longer than the model takes${detail(reason)}; start a new session`)
    case "model_stalled":
      return fail(code, `the model fell silent${detail(reason)}; send the message again`)
    default:
      return fail(code, `no model can be reached${detail(reason)}`)
  }
}

const NOBODY = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|CONNECT_TIMEOUT/
const HERE = /^https?:\/\/(?:localhost|127(?:\.\d+){3}|\[::1\])(?=[:/]|$)/

/** A provider that cannot even be spoken to. */
const unreachable = (url: string, why: string): Failure => {
  const [address = url] = /^https?:\/\/[^/?#]+/.exec(url) ?? []
  return fail(
    "model_unavailable",
    HERE.test(url)
      ? `nothing answers at ${address} (${why}); start the model's server there, as by "ollama serve", or set ESPALIER_MODEL_URL to where it is`
      : `${address} cannot be reached (${why}); see that this machine is online, and that ESPALIER_MODEL_URL, if set, is right`
  )
}

const NO_MODEL =
  /model.*(?:not found|does not exist|not exist|unknown)|(?:no such|unknown|invalid) model|try pulling it/i
const NO_TOOLS = /(?:not|n't) support (?:tool|function)|(?:tools?|function calling) (?:is|are) not supported/i
const NOTHING_THERE = /^:? ?(?:not found|404.*)$/i

const refused = (why: string): Failure => {
  const what = `the provider refused the request${why}`
  if (NO_MODEL.test(why)) {
    return fail(
      "model_refused",
      `${what}; check the name in ESPALIER_MODEL, or fetch the model, as by "ollama pull NAME"`
    )
  }
  if (NO_TOOLS.test(why)) {
    return fail("model_refused", `${what}; name a model that can call tools in ESPALIER_MODEL`)
  }
  return NOTHING_THERE.test(why)
    ? fail("model_refused", `${what}; check ESPALIER_MODEL_URL, which as a rule ends with /v1`)
    : fail("model_refused", `${what}; check the model's name and tools`)
}

export const failureOf = (reason: AiError.AiErrorReason): Failure => {
  const own = "metadata" in reason ? read(reason.metadata).code : undefined
  if (own !== undefined) return ofOwnCode(own, reason)
  switch (reason._tag) {
    case "RateLimitError": {
      const when = reason.retryAfter === undefined ? "in a while" : `after ${Duration.format(reason.retryAfter)}`
      return fail("model_rate_limited", `the provider takes no more requests for now; send the message again ${when}`)
    }
    case "QuotaExhaustedError":
      return fail("model_quota_exhausted", "the provider's account has nothing left; look at its billing")
    case "AuthenticationError":
      return reason.kind === "InsufficientPermissions"
        ? fail("model_auth", `the provider's key may not do this${detail(reason)}; use another key or model`)
        : fail("model_auth", "the provider refused the key; check the key that the server was started with")
    case "ContentPolicyError":
      return fail("answer_filtered", `the provider's content filter refused${detail(reason)}; say it in other words`)
    case "NetworkError":
      if (reason.description !== undefined && NOBODY.test(reason.description) && reason.url !== "") {
        return unreachable(reason.url, reason.description)
      }
      return fail("model_unavailable", `the provider could not answer${detail(reason)}; send the message again later`)
    case "InternalProviderError":
      return fail("model_unavailable", `the provider could not answer${detail(reason)}; send the message again later`)
    case "InvalidRequestError":
    case "UnsupportedSchemaError":
      return refused(detail(reason))
    case "InvalidOutputError":
    case "InvalidResponseError":
    case "StructuredOutputError":
      return fail("model_malformed", `the model's answer could not be read${detail(reason)}; send the message again`)
    default:
      return fail("model_failed", `the model broke off${detail(reason)}; send the message again`)
  }
}

/** What a reason to finish means that leaves the answer incomplete. */
export const failureOfFinish = (reason: Response.FinishReason | undefined): Failure | undefined => {
  switch (reason) {
    case "length":
      return fail("answer_cut_off", "the model stopped at its longest answer; ask it to go on")
    case "content-filter":
      return fail("answer_filtered", "the provider's content filter cut the answer off; say it in other words")
    case "error":
      return fail("model_failed", "the model broke off with an error; send the message again")
    case undefined:
      return fail("model_malformed", "the model's answer has no end; send the message again")
    default:
      return undefined
  }
}
