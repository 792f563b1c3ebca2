/** `espalier serve`: a server in this process until a signal stops it. */
import { Console, Effect, Scope } from "effect"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import { command } from "../calledAs.ts"
import { version } from "../version.ts"
import { Root } from "../../services/supervision/Places.ts"
import { RuntimeGaveUp } from "../../services/supervision/RuntimeGaveUp.ts"
import { mention } from "./McpConfigFile.ts"
import * as Server from "./Server.ts"
import { resolveSettings, type Settings } from "./Settings.ts"
import * as uncaught from "./uncaught.ts"

const welcome = (
  url: string,
  { dataDirectory, mcpServers, models }: Settings
): string => `espalier ${version} is running

  url    ${url}
  data   ${dataDirectory}
  model  ${models.length === 0 ? "none; docs/models.md tells how to name one" : models.map(({ name }) => name).join(", then ")}
  MCP    ${mcpServers.length === 0 ? "none; name a .mcp.json with --mcp-config" : mcpServers.map(({ name }) => name).join(", ")}

Try this in another terminal${url.endsWith(":4747") ? "" : `, after: export ESPALIER_URL=${url}`}

${models.length === 0 ? "" : `  ${command} chat\n`}  ${command} tool run analyze_codebase --args '{"path":"."}'
  ${command} tree

Ctrl-C stops it. Sessions and queued work go on after the next start.`

/** Ends when `stop` does, with everything stopped in order. */
export const serve = Effect.fnUntraced(function* (
  given: {
    readonly port?: number | undefined
    readonly dataDirectory?: string | undefined
    readonly mcpConfig?: string | undefined
    /** Say where it is in one line of JSON instead. */
    readonly json: boolean
  },
  stop: Effect.Effect<void>
) {
  const settings = yield* resolveSettings(given)
  if (settings.mcpServers.length === 0) yield* mention
  const scope = yield* Effect.scope
  yield* Effect.gen(function* () {
    // Not before it has started, when it is better to end, but until it has stopped.
    yield* Scope.provide(uncaught.contain, scope)
    const url = yield* HttpGateway.url
    const { dataDirectory } = settings
    yield* Console.log(given.json ? JSON.stringify({ url, dataDirectory, version }) : welcome(url, settings))
    const root = yield* Root
    const gaveUp = Effect.andThen(root.awaitExit, Effect.fail(new RuntimeGaveUp()))
    yield* Effect.raceFirst(stop, gaveUp).pipe(Effect.tapError(({ message }) => Effect.logFatal(message)))
    yield* Console.error("stopping: nothing new is taken, what was accepted is answered")
  }).pipe(Effect.provide(Server.layer(settings)))
  yield* Console.error("stopped")
}, Effect.scoped)
