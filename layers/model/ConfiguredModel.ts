/** The models that are configured, as one `LanguageModel`: the first, and those that stand in for it. */
import type { LanguageModelV4 } from "@ai-sdk/provider"
import { Effect, Layer, Redacted } from "effect"
import { LanguageModel } from "effect/ai"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Rate } from "../../services/limits/RateLimits.ts"
import type { ModelSettings } from "../../services/model/ModelSettings.ts"
import * as AiSdkModel from "./AiSdkModel.ts"
import { boundedFetch } from "./aisdk/boundedFetch.ts"
import * as ResilientModel from "./ResilientModel.ts"

const addressed = (url: string | undefined) => (url === undefined ? {} : { baseURL: url })

const fetch = boundedFetch()

/** Providers are loaded when they are used: most programs need one of them, and some none. */
const providerModel = ({ key, model, provider, url }: ModelSettings): Effect.Effect<LanguageModelV4> => {
  const apiKey = key === undefined ? undefined : Redacted.value(key)
  switch (provider) {
    case "openai":
      return Effect.map(
        Effect.promise(() => import("@ai-sdk/openai")),
        ({ createOpenAI }) => createOpenAI({ fetch, ...addressed(url), apiKey: apiKey ?? "" })(model)
      )
    case "anthropic":
      return Effect.map(
        Effect.promise(() => import("@ai-sdk/anthropic")),
        ({ createAnthropic }) => createAnthropic({ fetch, ...addressed(url), apiKey: apiKey ?? "" })(model)
      )
    default:
      return Effect.map(
        Effect.promise(() => import("@ai-sdk/openai-compatible")),
        ({ createOpenAICompatible }) =>
          createOpenAICompatible({
            fetch,
            name: provider,
            baseURL: url ?? "",
            ...(apiKey === undefined ? {} : { apiKey }),
            includeUsage: true,
            supportsStructuredOutputs: true
          })(model)
      )
  }
}

/** The conversation is kept here and nowhere else; reasoning comes back encrypted, so that it can be sent again. */
const providerOptions = { openai: { store: false } }

const candidate = Effect.fnUntraced(function* (settings: ModelSettings) {
  const { name, price, provider } = settings
  const model = yield* AiSdkModel.make({ model: yield* providerModel(settings), name, price, providerOptions })
  return { provider, name, model }
})

export interface Options {
  readonly models: NonEmptyReadonlyArray<ModelSettings>
  /** Requests under way at a provider (default 64). */
  readonly concurrency?: number | undefined
  /** How often a provider is asked (default: as often as it takes). */
  readonly rate?: Rate | undefined
}

export const make = Effect.fnUntraced(function* ({ concurrency, models: [first, ...rest], rate }: Options) {
  const candidates = [yield* candidate(first), ...(yield* Effect.forEach(rest, candidate))] as const
  return yield* ResilientModel.make({ candidates, concurrency, rate })
})

export const layer = (options: Options) => Layer.effect(LanguageModel.LanguageModel, make(options))
