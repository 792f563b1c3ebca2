/** One request to the model: the conversation goes out, text is passed on as it comes, and calls are collected. */
import { Clock, Duration, Effect, Stream } from "effect"
import { AiError, type LanguageModel } from "effect/ai"
import type { Failure } from "../../services/Failure.ts"
import type { ModelAnswer } from "../../services/model/ModelAnswer.ts"
import { failureOf, failureOfFinish } from "../../services/model/modelFailure.ts"
import type { Limits } from "../../services/model/ModelLimits.ts"
import type { Entry } from "../../services/session/Conversation.ts"
import { AnswerDraft, type WantedCall } from "./AnswerDraft.ts"
import * as DeltaBatch from "./DeltaBatch.ts"
import { type OfferedTools, promptOf } from "./Prompt.ts"

export type { WantedCall } from "./AnswerDraft.ts"

/** Characters of one answer, reasoning included. */
const MAX_ANSWER = 1_000_000
/** Calls of one answer that are looked at, many more than are run. */
const MAX_WANTED = 1_000
/** Characters of what a provider says went wrong. */
const MAX_MESSAGE = 1_000

export interface Answer {
  readonly text: string
  readonly calls: ReadonlyArray<WantedCall>
  /** What is to be journaled with what the answer leads to. */
  readonly answer: ModelAnswer | undefined
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

const failed = ({ code, message }: Failure) => new TurnFailed(code, message)

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : typeof error === "string" ? error : "it gave no reason"

const tooLong = ({ calls, size }: AnswerDraft): TurnFailed | undefined => {
  if (size > MAX_ANSWER) {
    return new TurnFailed("answer_too_long", `the answer passed ${MAX_ANSWER} characters and was cut off`)
  }
  return calls.length > MAX_WANTED
    ? new TurnFailed("answer_too_long", `the answer asked for more than ${MAX_WANTED} tools and was cut off`)
    : undefined
}

/** When the model was last heard of: not at all before its first part, which others wait for. */
interface Heard {
  at: number | undefined
}

/** Fails once an answer that has begun falls silent, or takes too long in all. */
const watch = Effect.fnUntraced(function* (heard: Heard, limits: Limits): Effect.fn.Return<never, TurnFailed> {
  const idle = Duration.toMillis(limits.idle)
  const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(limits.total)
  while (true) {
    const now = yield* Clock.currentTimeMillis
    if (now >= deadline) {
      const limit = Duration.format(limits.total)
      return yield* Effect.fail(
        new TurnFailed("model_timeout", `the model took more than ${limit}; send the message again`)
      )
    }
    if (heard.at !== undefined && now >= heard.at + idle) {
      const limit = Duration.format(limits.idle)
      return yield* Effect.fail(
        new TurnFailed("model_stalled", `the model fell silent for ${limit} in its answer; send the message again`)
      )
    }
    yield* Effect.sleep(Math.min(heard.at === undefined ? idle : heard.at + idle - now, deadline - now))
  }
})

/** What a model is shown. */
export interface Shown {
  readonly entries: ReadonlyArray<Entry>
  readonly system?: string | undefined
  /** At most so many of the conversation. */
  readonly characters?: number | undefined
  /** Those that tools answered with, too (default no). */
  readonly pictures?: boolean | undefined
  /** It is to answer and to call nothing. It is shown its tools all the same, without which providers take no calls back. */
  readonly callsNothing?: boolean | undefined
}

export const ask = Effect.fnUntraced(function* (
  model: LanguageModel.LanguageModel,
  limits: Limits,
  toolkit: OfferedTools,
  { callsNothing = false, characters, entries, pictures, system }: Shown,
  say: (text: string) => Effect.Effect<void>
): Effect.fn.Return<Answer, TurnFailed> {
  const clock = yield* Clock.Clock
  const draft = new AnswerDraft()
  const deltas = DeltaBatch.make(say)
  const heard: Heard = { at: undefined }
  const parts = model.streamText({
    prompt: promptOf(entries, system, characters, pictures),
    toolkit,
    toolChoice: callsNothing ? "none" : "auto",
    disableToolCallResolution: true,
    toolCallValidation: "deferred"
  })
  const listen = parts.pipe(
    Stream.runForEachArray((parts) => {
      heard.at = clock.currentTimeMillisUnsafe()
      let delta = ""
      for (const part of parts) {
        if (part.type === "error") {
          return Effect.fail(
            AiError.isAiError(part.error)
              ? failed(failureOf(part.error.reason))
              : new TurnFailed("model_failed", `the model broke off: ${reasonOf(part.error)}`)
          )
        }
        delta += draft.add(part)
      }
      const refusal = tooLong(draft)
      if (refusal !== undefined) return Effect.fail(refusal)
      return delta === "" ? Effect.void : deltas.add(delta)
    }),
    Effect.mapError((error) => (AiError.isAiError(error) ? failed(failureOf(error.reason)) : error))
  )
  yield* Effect.ensuring(Effect.raceFirst(listen, watch(heard, limits)), deltas.end)
  const { answer, calls, reason, text } = draft
  return { text, calls, answer, broken: failureOfFinish(reason) }
})
