/**
 * `LanguageModel` over a provider of the Vercel AI SDK, whichever it is:
 *
 *     AiSdkModel.layer({ model: createMistral()("mistral-large-latest") })
 *
 * Interrupting a request aborts it. It makes one attempt and waits for ever: `ResilientModel` has the patience.
 */
import type { LanguageModelV4, SharedV4ProviderOptions } from "@ai-sdk/provider"
import { Clock, Effect, Layer, Scope, Stream } from "effect"
import { AiError, LanguageModel, type Response } from "effect/ai"
import { MaxOutputTokens } from "../../services/model/MaxOutputTokens.ts"
import type { Price } from "../../services/model/Usage.ts"
import { cutOff, isUnknownEvent, toReason } from "./aisdk/apiErrors.ts"
import { callOptions } from "./aisdk/callOptions.ts"
import * as PartPump from "./aisdk/PartPump.ts"
import { structuredOutputOf } from "./aisdk/structuredOutput.ts"
import {
  type Answerer,
  contentPart,
  finishPart,
  joinDeltas,
  type StreamPart,
  streamPart
} from "./aisdk/responseParts.ts"

export interface Options {
  readonly model: LanguageModelV4
  /** What journals and people call it (default `provider/model`). */
  readonly name?: string | undefined
  /** Without one, usage has no cost. */
  readonly price?: Price | undefined
  /** Sent with every request, by provider: reasoning effort, cache hints … */
  readonly providerOptions?: SharedV4ProviderOptions | undefined
}

const nameOf = ({ modelId, provider }: LanguageModelV4): string => `${provider.split(".", 1)[0] ?? provider}/${modelId}`

export const make = Effect.fnUntraced(function* ({ model, name = nameOf(model), price, providerOptions }: Options) {
  const answerer: Answerer = { name, price }
  const codecTransformer = structuredOutputOf(model.provider)
  const asking = { provider: model.provider, providerOptions, codecTransformer }
  const clock = yield* Clock.Clock
  const fail = (method: string) => (error: unknown) =>
    AiError.isAiError(error)
      ? error
      : AiError.make({ module: name, method, reason: toReason(error, clock.currentTimeMillisUnsafe()) })

  const generateText = (options: LanguageModel.ProviderOptions) =>
    Effect.flatMap(MaxOutputTokens, (maxOutputTokens) =>
      Effect.tryPromise({
        try: (signal) => model.doGenerate(callOptions(options, signal, { ...asking, maxOutputTokens })),
        catch: fail("generateText")
      })
    ).pipe(
      Effect.map(({ content, finishReason, structuredOutputText, usage }): Array<Response.PartEncoded> => {
        const parts = content.flatMap((part) => contentPart(part) ?? [])
        const hasText = parts.some(({ type }) => type === "text")
        return [
          ...parts,
          ...(structuredOutputText === undefined || hasText
            ? []
            : [{ type: "text", text: structuredOutputText } as const]),
          finishPart(answerer, finishReason, usage)
        ]
      })
    )

  const streamText = (options: LanguageModel.ProviderOptions): Stream.Stream<StreamPart, AiError.AiError> =>
    Stream.fromPull(
      Effect.gen(function* () {
        const toError = fail("streamText")
        const maxOutputTokens = yield* MaxOutputTokens
        const aborting = new AbortController()
        let release = () => aborting.abort()
        yield* Scope.addFinalizer(
          yield* Effect.scope,
          Effect.sync(() => release())
        )
        const { stream } = yield* Effect.tryPromise({
          try: () => model.doStream(callOptions(options, aborting.signal, { ...asking, maxOutputTokens })),
          catch: toError
        })
        const pump = PartPump.make(stream, {
          accept: (part) => {
            if (part.type === "error") {
              return isUnknownEvent(part.error) ? { part: undefined } : { error: toError(part.error) }
            }
            return part.type === "finish" && part.finishReason.unified === "interrupted"
              ? { error: toError(cutOff) }
              : { part: streamPart(answerer, part) }
          },
          join: joinDeltas,
          toError
        })
        // Aborting what has ended by itself would only cost.
        release = () => {
          if (pump.close()) aborting.abort()
        }
        return pump.pull
      })
    ).pipe(Stream.scoped)

  return yield* LanguageModel.make({ generateText, streamText, codecTransformer })
})

export const layer = (options: Options) => Layer.effect(LanguageModel.LanguageModel, make(options))
