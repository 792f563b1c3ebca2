/** What a server can be told: by flags, else by the environment, else it decides for itself. */
import { Config, ConfigProvider, Duration, Effect, Schema } from "effect"
import { UserDirectories } from "effect/persistence"
import { resolve } from "node:path"
import type { McpServerConfig } from "../../services/mcp/McpConfig.ts"
import { InvalidConfig } from "./InvalidConfig.ts"
import { readFile } from "./McpConfigFile.ts"

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
  /** Whether a part may be crashed on purpose. */
  readonly chaos: boolean
  /** Declared in the file that was named. */
  readonly mcpServers: ReadonlyArray<McpServerConfig>
}

const int = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }, { message: `a whole number from ${minimum} to ${maximum}` }))

const fromConfig = Config.all({
  dataDirectory: Config.schema(Schema.NonEmptyString, "ESPALIER_DATA").pipe(Config.withDefault(undefined)),
  port: Config.schema(int(0, 65_535), "ESPALIER_PORT").pipe(Config.withDefault(4747)),
  permits: Config.schema(int(1, 256), "ESPALIER_PERMITS").pipe(Config.withDefault(3)),
  queue: Config.schema(int(0, 100_000), "ESPALIER_QUEUE").pipe(Config.withDefault(50)),
  patience: Config.Duration("ESPALIER_PATIENCE").pipe(Config.withDefault(Duration.seconds(30))),
  chaos: Config.Boolean("ESPALIER_CHAOS").pipe(Config.withDefault(false)),
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
  const { dataDirectory, mcpConfig, ...rest } = yield* fromConfig
    .parse(ConfigProvider.orElse(byHand, yield* ConfigProvider.ConfigProvider))
    .pipe(Effect.mapError((error) => InvalidConfig.fromConfig(error)))
  const mcpServers = mcpConfig === undefined ? [] : yield* readFile(mcpConfig)
  return { ...rest, mcpServers, dataDirectory: resolve(dataDirectory ?? (yield* ownDirectory)) } satisfies Settings
})
