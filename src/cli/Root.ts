/** `espalier`: the flags that every command takes, before or after its name. */
import { Config, ConfigProvider, Effect, Layer, Option, References, Schema } from "effect"
import { Command, Flag, GlobalFlag } from "effect/cli"
import * as Client from "../client.ts"
import { InvalidConfig } from "../server/InvalidConfig.ts"

export const root = Command.make("espalier").pipe(
  Command.withDescription("A runtime for AI-agent sessions: supervised, durable, bounded, observable"),
  Command.withSharedFlags({
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("Print JSON: one document, or one line an event"),
      Flag.withDefault(false)
    ),
    url: Flag.String("url").pipe(
      Flag.withDescription("The server to talk to (default ESPALIER_URL, or http://127.0.0.1:4747)"),
      Flag.optional
    ),
    embedded: Flag.Boolean("embedded").pipe(
      Flag.withDescription("Run the whole runtime in this process, for this command, instead of asking a server"),
      Flag.withDefault(false)
    ),
    data: Flag.String("data").pipe(
      Flag.withDescription("Data directory, for serve and --embedded (default ESPALIER_DATA, or the user's own)"),
      Flag.optional
    ),
    mcpConfig: Flag.String("mcp-config").pipe(
      Flag.withDescription(
        "A .mcp.json whose servers to run, for serve and --embedded (default ESPALIER_MCP_CONFIG, or none)"
      ),
      Flag.optional
    )
  })
)

const isHttp = Schema.String.check(
  Schema.makeFilter((url) => (/^https?:\/\//.test(url) && URL.canParse(url)) || "an address like http://127.0.0.1:4747")
)

const settings = Config.all({
  url: Config.schema(isHttp, "ESPALIER_URL").pipe(Config.withDefault("http://127.0.0.1:4747")),
  token: Config.Redacted("ESPALIER_TOKEN").pipe(Config.option)
})

/** Where the server is, and what lets us in. */
const connection = Effect.gen(function* () {
  const { url } = yield* root
  const environment = yield* ConfigProvider.ConfigProvider
  const provider = Option.match(url, {
    onNone: () => environment,
    onSome: (url) => ConfigProvider.orElse(ConfigProvider.fromUnknown({ ESPALIER_URL: url }), environment)
  })
  return yield* settings.parse(provider).pipe(Effect.mapError((error) => InvalidConfig.fromConfig(error)))
})

/** Whether the runtime is on this machine, where it sees the same files. */
export const isHere = Effect.gen(function* () {
  const { embedded } = yield* root
  return embedded || /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(new URL((yield* connection).url).hostname)
})

/** The server that the flags and the environment name, or the runtime in this process. */
const layer = Layer.unwrap(
  Effect.gen(function* () {
    const flags = yield* root
    if (flags.embedded) {
      const { layer } = yield* Effect.promise(() => import("../server/EmbeddedClient.ts"))
      const level = yield* GlobalFlag.LogLevel
      return layer({
        dataDirectory: Option.getOrUndefined(flags.data),
        mcpConfig: Option.getOrUndefined(flags.mcpConfig)
      }).pipe(
        // What concerns a command its errors and notes tell; --log-level shows the rest.
        Layer.provide(Option.isNone(level) ? Layer.succeed(References.MinimumLogLevel, "Fatal") : Layer.empty)
      )
    }
    const { token, url } = yield* connection
    return Client.layer({ url, token: Option.getOrUndefined(token) })
  })
)

/** Runs a command's work with a client. */
export const withClient = <A, E, R>(use: (espalier: Client.Operation) => Effect.Effect<A, E, R>) =>
  Effect.provide(Client.Client.use(use), layer)
