/** One request to the model: the conversation goes out, text is passed on as it comes, and calls are collected. */
import { Effect, Stream } from "effect"
import { AiError, type LanguageModel, type Response } from "effect/ai"
import type { Failure } from "../../services/Failure.ts"
import type { Entry } from "../../services/session/Conversation.ts"
import { type OfferedTools, promptOf } from "./Prompt.ts"

/** Characters of one answer. */
const MAX_ANSWER = 1_000_000
/** Characters of what a provider says went wrong. */
const MAX_MESSAGE = 1_000
const LIMIT = "10 minutes"

export interface WantedCall {
  readonly name: string
  readonly params: unknown
}

export interface Answer {
  readonly text: string
  readonly calls: ReadonlyArray<WantedCall>
  /** Set when the answer is not whole, which is why its calls are not to be run. */
  readonly broken: Failure | undefined
}

/** A turn cannot go on, for a reason that its session is told. */
export class TurnFailed {
  readonly _tag = "TurnFailed"
  readonly failure: Failure
  constructor(code: string, message: string) {
    this.failure = { code, message: message.slice(0, MAX_MESSAGE) }
  }
}

const brokenBy = (reason: Response.FinishReason | undefined): Failure | undefined => {
  switch (reason) {
    case "length":
      return { code: "answer_cut_off", message: "the model stopped at its longest answer; ask it to go on" }
    case "content-filter":
      return { code: "answer_filtered", message: "the provider's content filter cut the answer off" }
    case "error":
      return { code: "model_failed", message: "the model broke off with an error; send the message again" }
    default:
      return undefined
  }
}

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : typeof error === "string" ? error : "it gave no reason"

export const ask = Effect.fnUntraced(function* (
  model: LanguageModel.LanguageModel,
  toolkit: OfferedTools,
  entries: ReadonlyArray<Entry>,
  say: (text: string) => Effect.Effect<void>
): Effect.fn.Return<Answer, TurnFailed> {
  let text = ""
  let reason: Response.FinishReason | undefined
  const calls: Array<WantedCall> = []
  const parts = model.streamText({
    prompt: promptOf(entries),
    toolkit,
    disableToolCallResolution: true,
    toolCallValidation: "deferred"
  })
  yield* parts.pipe(
    Stream.runForEachArray((parts) => {
      let delta = ""
      for (const part of parts) {
        switch (part.type) {
          case "text-delta":
            delta += part.delta
            break
          case "tool-call":
            calls.push({ name: part.name, params: part.params })
            break
          case "finish":
            reason = part.reason
            break
          case "error":
            return Effect.fail(new TurnFailed("model_failed", `the model broke off: ${reasonOf(part.error)}`))
          default:
            break
        }
      }
      text += delta
      if (text.length > MAX_ANSWER) {
        return Effect.fail(
          new TurnFailed("answer_too_long", `the answer passed ${MAX_ANSWER} characters and was cut off`)
        )
      }
      return delta === "" ? Effect.void : say(delta)
    }),
    Effect.timeoutOrElse({
      duration: LIMIT,
      orElse: () =>
        Effect.fail(new TurnFailed("model_timeout", `the model took more than ${LIMIT}; send the message again`))
    }),
    Effect.mapError((error) => (AiError.isAiError(error) ? new TurnFailed("model_failed", error.message) : error))
  )
  return { text, calls, broken: brokenBy(reason) }
})
