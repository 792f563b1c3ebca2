/** The model of a wire's provider, made from the environment as a server makes it. */
import { ConfigProvider, Duration, Effect, Layer } from "effect"
import { LanguageModel } from "effect/ai"
import * as PersistenceBreakers from "../../../layers/limits/PersistenceBreakers.ts"
import * as TokenRateLimits from "../../../layers/limits/TokenRateLimits.ts"
import * as ConfiguredModel from "../../../layers/model/ConfiguredModel.ts"
import { ModelLimits } from "../../../services/model/ModelLimits.ts"
import { resolveSettings } from "../../../src/server/Settings.ts"
import { recordingBus } from "../RecordingBus.ts"
import type { Wire } from "./Wire.ts"

export const PRICE = { input: 1, output: 10, cached: 0.1, cacheWrite: 1.25 }

export const environment = (
  { model, provider }: Wire,
  url: string,
  more: Record<string, string> = {}
): Record<string, string> => ({
  ESPALIER_MODEL: `${provider}/${model}`,
  ESPALIER_MODEL_URL: url,
  ESPALIER_MODEL_KEY: "sk-secret",
  ESPALIER_MODEL_PRICES: JSON.stringify({ [`${provider}/${model}`]: PRICE }),
  ...more
})

export const configuredModel = (wire: Wire, url: string): Layer.Layer<LanguageModel.LanguageModel> =>
  Layer.effect(
    LanguageModel.LanguageModel,
    Effect.gen(function* () {
      const { models } = yield* resolveSettings({ dataDirectory: "/nowhere" })
      const [first, ...rest] = models
      return first === undefined
        ? yield* Effect.die("no model is configured")
        : yield* ConfiguredModel.make({ models: [first, ...rest] })
    }).pipe(
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnvRecord(environment(wire, url))),
      Effect.orDie
    )
  ).pipe(
    Layer.provide(Layer.succeed(ModelLimits, { idle: Duration.seconds(10), total: Duration.minutes(1) })),
    Layer.provide(
      Layer.mergeAll(PersistenceBreakers.layer().pipe(Layer.provide(recordingBus([]))), TokenRateLimits.layer())
    )
  )
