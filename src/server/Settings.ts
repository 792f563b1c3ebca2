/** What a server can be told: by flags, else by the environment, else it decides for itself. */
import { Config, ConfigProvider, Duration, Effect, Redacted, Schema } from "effect"
import { UserDirectories } from "effect/persistence"
import { resolve } from "node:path"
import { defaultLimits } from "../../services/gateway/ConnectionLimits.ts"
import type { McpServerConfig } from "../../services/mcp/McpConfig.ts"
import type { Rate } from "../../services/limits/RateLimits.ts"
import type { Retention } from "../../services/maintenance/Retention.ts"
import type { Limits as ModelTimes } from "../../services/model/ModelLimits.ts"
import { configured, type ModelSettings } from "../../services/model/ModelSettings.ts"
import { Price } from "../../services/model/Usage.ts"
import type { Pools } from "../../services/worker/PoolLimits.ts"
import * as Compaction from "../../services/session/Compaction.ts"
import type * as Budget from "../../services/session/Budget.ts"
import { InvalidConfig } from "./InvalidConfig.ts"
import { readFile } from "./McpConfigFile.ts"
import * as poolsSetting from "./poolsSetting.ts"

export interface Settings {
  /** Where everything is kept. */
  readonly dataDirectory: string
  /** 0 takes a port that is free. */
  readonly port: number
  /** Workers that run at a time. */
  readonly permits: number
  /** Tasks that may wait for one. */
  readonly queue: number
  /** How long a task may wait. */
  readonly patience: Duration.Duration
  /** More about the pools, by name. */
  readonly pools: Pools
  /** How much of MCP servers runs at a time. */
  readonly mcp: {
    /** Calls of their tools. */
    readonly permits: number
    /** Calls that may wait. */
    readonly queue: number
    /** Servers of sessions, all together. */
    readonly instances: number
  }
  /** Whether a part may be crashed on purpose. */
  readonly chaos: boolean
  /** Declared in the file that was named. */
  readonly mcpServers: ReadonlyArray<McpServerConfig>
  /** What a session and each of its turns may use up at most. */
  readonly budget: Budget.Limits
  /** How long a session is idle before it leaves memory. */
  readonly hibernateAfter: Duration.Duration
  /** Tokens of a conversation that a model is shown. */
  readonly contextTokens: number
  /** What is let go of once it is old: by default nothing. */
  readonly retention: Retention
  /** The model that answers, and those that stand in for it: by default none, and then tools can still be run by hand. */
  readonly models: ReadonlyArray<ModelSettings>
  readonly modelLimits: ModelTimes
  /** Whether the model is shown pictures that tools answer with; by default it depends on the provider. */
  readonly modelPictures: boolean | undefined
  /** Requests under way at a provider of models. */
  readonly modelConcurrency: number
  /** How often a provider of models is asked. */
  readonly modelRate: Rate | undefined
  /** How often one session may call tools. */
  readonly toolRate: Rate | undefined
  readonly limits: {
    /** Calls that a connection may make in a second, on average. */
    readonly callsPerSecond: number
  }
  readonly breakers: {
    /** Failures in a row after which a dependency is left alone. */
    readonly failures: number
    /** For so long the first time … */
    readonly openFor: Duration.Duration
    /** … and for so long at most. */
    readonly openAtMost: Duration.Duration
  }
}

const int = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }, { message: `a whole number from ${minimum} to ${maximum}` }))

/** How long something is kept: `30 days`. What is shorter than a minute is a slip: everything would go at once. */
const age = (name: string) =>
  Config.schema(
    Schema.DurationFromString.check(
      Schema.makeFilter(
        (age) =>
          (Duration.isFinite(age) && Duration.toMillis(age) >= 60_000) ||
          "a time of at least a minute, as 30 days or 12 hours; leave it out to keep all"
      )
    ),
    name
  ).pipe(Config.withDefault(undefined))

/** How long a model may take: `30 seconds`. */
const limit = (name: string, otherwise: Duration.Duration) =>
  Config.schema(
    Schema.DurationFromString.check(
      Schema.makeFilter(
        (time) =>
          (Duration.isFinite(time) && Duration.toMillis(time) >= 1_000) || "a time of at least a second, as 30 seconds"
      )
    ),
    name
  ).pipe(Config.withDefault(otherwise))

/** One that is set to nothing is not set. */
const key = (name: string) =>
  Config.Redacted(name).pipe(
    Config.withDefault(undefined),
    Config.map((key) => (key === undefined || Redacted.value(key) === "" ? undefined : key))
  )

const prices = Schema.fromJsonString(Schema.Record(Schema.String, Price))

const model = Config.all({
  ESPALIER_MODEL: Config.String("ESPALIER_MODEL").pipe(Config.withDefault(undefined)),
  ESPALIER_MODEL_FALLBACK: Config.String("ESPALIER_MODEL_FALLBACK").pipe(
    Config.withDefault(""),
    Config.map((names) => names.split(","))
  ),
  ESPALIER_MODEL_URL: Config.String("ESPALIER_MODEL_URL").pipe(Config.withDefault(undefined)),
  ESPALIER_MODEL_KEY: key("ESPALIER_MODEL_KEY"),
  OPENAI_API_KEY: key("OPENAI_API_KEY"),
  ANTHROPIC_API_KEY: key("ANTHROPIC_API_KEY"),
  ESPALIER_MODEL_PRICES: Config.schema(prices, "ESPALIER_MODEL_PRICES").pipe(Config.withDefault({}))
})
/** How long a breaker is open. */
const openTime = (name: string, byDefault: Duration.Duration) =>
  Config.schema(
    Schema.DurationFromString.check(
      Schema.makeFilter((time) => {
        const milliseconds = Duration.toMillis(time)
        return (milliseconds >= 10 && milliseconds <= 86_400_000) || "a time from 10 millis to 1 day"
      })
    ),
    name
  ).pipe(Config.withDefault(byDefault))
const amount = (name: string) =>
  Config.schema(
    Schema.Finite.check(Schema.isGreaterThan(0, { message: "an amount of money above 0, as 0.50" })),
    name
  ).pipe(Config.withDefault(undefined))

/** Milliseconds of a duration: `10 minutes`. */
const time = (name: string) => Config.Duration(name).pipe(Config.map(Duration.toMillis), Config.withDefault(undefined))

const fromConfig = Config.all({
  model,
  modelLimits: Config.all({
    idle: limit("ESPALIER_MODEL_IDLE", Duration.seconds(30)),
    total: limit("ESPALIER_MODEL_LIMIT", Duration.minutes(10))
  }),
  modelPictures: Config.Boolean("ESPALIER_MODEL_PICTURES").pipe(Config.withDefault(undefined)),
  modelConcurrency: Config.schema(int(1, 10_000), "ESPALIER_MODEL_CONCURRENCY").pipe(Config.withDefault(64)),
  modelRate: Config.schema(int(1, 1_000_000), "ESPALIER_MODEL_CALLS_PER_MINUTE").pipe(
    Config.map((limit): Rate => ({ limit, per: "1 minute" })),
    Config.withDefault(undefined)
  ),
  dataDirectory: Config.schema(Schema.NonEmptyString, "ESPALIER_DATA").pipe(Config.withDefault(undefined)),
  port: Config.schema(int(0, 65_535), "ESPALIER_PORT").pipe(Config.withDefault(4747)),
  permits: Config.schema(int(1, 256), "ESPALIER_PERMITS").pipe(Config.withDefault(3)),
  queue: Config.schema(int(0, 100_000), "ESPALIER_QUEUE").pipe(Config.withDefault(50)),
  patience: Config.Duration("ESPALIER_PATIENCE").pipe(Config.withDefault(Duration.seconds(30))),
  pools: Config.String(poolsSetting.variable).pipe(Config.withDefault("{}")),
  mcp: Config.all({
    permits: Config.schema(int(1, 256), "ESPALIER_MCP_PERMITS").pipe(Config.withDefault(64)),
    queue: Config.schema(int(0, 100_000), "ESPALIER_MCP_QUEUE").pipe(Config.withDefault(1_000)),
    instances: Config.schema(int(1, 10_000), "ESPALIER_MCP_INSTANCES").pipe(Config.withDefault(32))
  }),
  chaos: Config.Boolean("ESPALIER_CHAOS").pipe(Config.withDefault(false)),
  budget: Config.all({
    steps: Config.schema(int(0, 10_000), "ESPALIER_STEPS").pipe(Config.withDefault(undefined)),
    depth: Config.schema(int(0, 10), "ESPALIER_DEPTH").pipe(Config.withDefault(undefined)),
    turnTokens: Config.schema(int(1, Number.MAX_SAFE_INTEGER), "ESPALIER_TURN_TOKENS").pipe(
      Config.withDefault(undefined)
    ),
    sessionTokens: Config.schema(int(1, Number.MAX_SAFE_INTEGER), "ESPALIER_SESSION_TOKENS").pipe(
      Config.withDefault(undefined)
    ),
    turnCost: amount("ESPALIER_TURN_COST"),
    sessionCost: amount("ESPALIER_SESSION_COST"),
    turnTime: time("ESPALIER_TURN_TIME"),
    sessionTime: time("ESPALIER_SESSION_TIME")
  }).pipe(
    Config.map((given): Budget.Limits =>
      Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
    )
  ),
  contextTokens: Config.schema(int(1_000, 10_000_000), "ESPALIER_CONTEXT_TOKENS").pipe(
    Config.withDefault(Compaction.TOKENS)
  ),
  hibernateAfter: Config.Duration("ESPALIER_HIBERNATE_AFTER").pipe(Config.withDefault(Duration.minutes(5))),
  retention: Config.all({
    workers: age("ESPALIER_RETENTION_WORKERS"),
    sessions: age("ESPALIER_RETENTION_SESSIONS"),
    sessionEvents: Config.schema(int(1, 1_000_000_000), "ESPALIER_RETENTION_SESSION_EVENTS").pipe(
      Config.withDefault(undefined)
    )
  }),
  toolRate: Config.schema(int(1, 1_000_000), "ESPALIER_TOOL_CALLS_PER_MINUTE").pipe(
    Config.map((limit): Rate => ({ limit, per: "1 minute" })),
    Config.withDefault(undefined)
  ),
  limits: Config.all({
    callsPerSecond: Config.schema(int(1, 1_000_000), "ESPALIER_CALLS_PER_SECOND").pipe(
      Config.withDefault(defaultLimits.callsPerSecond)
    )
  }),
  breakers: Config.all({
    failures: Config.schema(int(1, 1_000), "ESPALIER_BREAKER_FAILURES").pipe(Config.withDefault(5)),
    openFor: openTime("ESPALIER_BREAKER_OPEN", Duration.seconds(1)),
    openAtMost: openTime("ESPALIER_BREAKER_OPEN_MAX", Duration.minutes(1))
  }),
  mcpConfig: Config.schema(Schema.NonEmptyString, "ESPALIER_MCP_CONFIG").pipe(Config.withDefault(undefined))
})

/** The user's own directory for the data of programs, as the platform has it. */
const ownDirectory = UserDirectories.UserDirectories.use((directories) => directories.data("espalier")).pipe(
  Effect.provide(UserDirectories.layer),
  Effect.mapError(
    ({ message }) =>
      new InvalidConfig({ detail: `there is no data directory (${message}); name one with ESPALIER_DATA` })
  )
)

/** The settings there are, those given by hand before those of the environment. */
export const resolveSettings = Effect.fnUntraced(function* (given: {
  readonly dataDirectory?: string | undefined
  readonly port?: number | undefined
  readonly mcpConfig?: string | undefined
}) {
  const byHand = ConfigProvider.fromUnknown({
    ...(given.dataDirectory === undefined ? {} : { ESPALIER_DATA: given.dataDirectory }),
    ...(given.port === undefined ? {} : { ESPALIER_PORT: String(given.port) }),
    ...(given.mcpConfig === undefined ? {} : { ESPALIER_MCP_CONFIG: given.mcpConfig })
  })
  const { dataDirectory, mcpConfig, model, pools, ...rest } = yield* fromConfig
    .parse(ConfigProvider.orElse(byHand, yield* ConfigProvider.ConfigProvider))
    .pipe(Effect.mapError((error) => InvalidConfig.fromConfig(error)))
  return {
    ...rest,
    mcpServers: mcpConfig === undefined ? [] : yield* readFile(mcpConfig),
    pools: yield* poolsSetting.parse(pools),
    models: yield* Effect.mapError(Effect.fromResult(configured(model)), (detail) => new InvalidConfig({ detail })),
    dataDirectory: resolve(dataDirectory ?? (yield* ownDirectory))
  } satisfies Settings
})
