/**
 * MCP servers as they are declared: the `mcpServers` of a `.mcp.json`, as other programs read them too.
 *
 * What only this runtime knows stands below `espalier` of a server, so that one file serves all of them. Keys that are
 * not known are left alone. `${NAME}` and `${NAME:-default}` stand for the environment in every text of a server, and in
 * those of a server of sessions for the session too (`sessionVariables.ts`).
 */
import { Duration, Effect, Result, Schema, SchemaGetter, SchemaIssue } from "effect"
import { InvalidInput } from "../InvalidInput.ts"
import { isSessionVariable, places } from "./sessionVariables.ts"
import { prefixOf } from "./toolNames.ts"

const Text = Schema.String.check(Schema.isMaxLength(32_768))
const Strings = Schema.Array(Text).check(Schema.isMaxLength(1_000))
const Pairs = Schema.Record(Schema.NonEmptyString, Text)

const Time = Schema.NonEmptyString.pipe(
  Schema.decodeTo(Schema.Duration, {
    decode: SchemaGetter.transformEffect((text: string, options) => {
      const duration = Duration.fromInput(text as Duration.Input)
      return duration._tag === "Some" && Duration.toMillis(duration.value) > 0
        ? Effect.succeed(duration.value)
        : Effect.fail(new SchemaIssue.InvalidValue({ message: 'a time like "300 seconds"' }, text, options))
    }),
    encode: SchemaGetter.transform((duration) => Duration.format(duration))
  })
)

/** What a person grants to a server, and the limits of its tools. Nothing of it comes from the server. */
export const McpGrants = Schema.Struct({
  /** One of it for all (the default), or one for each session that uses it. */
  scope: Schema.optionalKey(Schema.Literals(["shared", "session"])),
  /** How long one of a session may have nothing to do before it is stopped (default 30 minutes). */
  idle: Schema.optionalKey(Time),
  /** All its tools run without a person being asked. */
  trust: Schema.optionalKey(Schema.Boolean),
  /** These of its tools do. */
  allow: Schema.optionalKey(Strings),
  /** These may run again after a crash cut them off. */
  idempotent: Schema.optionalKey(Strings),
  /** It may ask the runtime's model, within a small budget, while one of its tools runs. */
  sampling: Schema.optionalKey(Schema.Boolean),
  /** Names of environment variables that it inherits besides the few that any program needs. */
  inherit: Schema.optionalKey(Strings),
  /** Longest silence of a call (default 300 seconds); a report of progress starts it anew. */
  deadline: Schema.optionalKey(Time),
  /** Longest run of a call, progress or not (default one hour). */
  hardCap: Schema.optionalKey(Time)
})
export type McpGrants = typeof McpGrants.Type

const grants = { espalier: Schema.optionalKey(McpGrants) }

const Stdio = Schema.Struct({
  type: Schema.optionalKey(Schema.Literal("stdio")),
  command: Schema.NonEmptyString.check(Schema.isMaxLength(4_096)),
  args: Schema.optionalKey(Strings),
  env: Schema.optionalKey(Pairs),
  cwd: Schema.optionalKey(Schema.NonEmptyString.check(Schema.isMaxLength(4_096))),
  ...grants
})

const Http = Schema.Struct({
  type: Schema.Literals(["http", "streamable-http"]),
  url: Schema.NonEmptyString.check(
    Schema.isMaxLength(4_096),
    Schema.makeFilter((url) => (/^https?:\/\//.test(url) && URL.canParse(url) ? undefined : "a http or https address"))
  ),
  headers: Schema.optionalKey(Pairs),
  ...grants
})

/** A server as it is written down. */
export type McpServerDeclaration = typeof Stdio.Encoded | typeof Http.Encoded
export type McpServerDeclarations = Readonly<Record<string, McpServerDeclaration>>

export type McpTransport =
  | {
      readonly type: "stdio"
      readonly command: string
      readonly args: ReadonlyArray<string>
      readonly env: Readonly<Record<string, string>>
      readonly cwd: string | undefined
    }
  | { readonly type: "http"; readonly url: string; readonly headers: Readonly<Record<string, string>> }

/** A declared server, read. */
export interface McpServerConfig {
  readonly name: string
  readonly transport: McpTransport
  readonly grants: McpGrants
}

/** Most servers in one file. */
const maxServers = 100

type Environment = (name: string) => string | undefined

/** Expands what stands for the environment; a name that is neither set nor has a default is told. */
export const expand = (
  text: string,
  environment: Environment,
  isLater: (name: string) => boolean = () => false
): Result.Result<string, string> => {
  let missing: string | undefined
  const expanded = text.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g, (all, name: string, otherwise) => {
    if (isLater(name)) return all
    const value = environment(name)
    if (value !== undefined && (value !== "" || otherwise === undefined)) return value
    if (typeof otherwise === "string") return otherwise
    missing ??= name
    return ""
  })
  return missing === undefined
    ? Result.succeed(expanded)
    : Result.fail(`the environment variable ${missing} is not set; set it, or write \${${missing}:-default}`)
}

interface Issue {
  readonly path: string
  readonly message: string
}

/** Every text of a declaration, expanded; `espalier` takes nothing from the environment. */
const expandAll = (value: unknown, expand: (text: string, path: string) => string, path: string): unknown => {
  if (typeof value === "string") return expand(value, path)
  if (Array.isArray(value)) return value.map((item, i) => expandAll(item, expand, `${path}.${i}`))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      key === "espalier" ? item : expandAll(item, expand, path === "" ? key : `${path}.${key}`)
    ])
  )
}

/** By the environment; what is of a session is left for later, where it may stand. */
const expander = (environment: Environment, isOfSession: boolean, base: string, issues: Array<Issue>) => {
  const isPlace = (path: string) => places.some((place) => path === place || path.startsWith(`${place}.`))
  return (text: string, path: string): string => {
    const wrong = new Set<string>()
    const expanded = expand(text, environment, (name) => {
      if (!isSessionVariable(name)) return false
      if (!isOfSession) {
        wrong.add(`${name} is of a session, and this server is one for all: give it "scope": "session" below espalier`)
      } else if (!isPlace(path)) wrong.add(`${name} may stand in ${places.join(", ")} and nowhere else`)
      return true
    })
    if (Result.isFailure(expanded)) wrong.add(expanded.failure)
    for (const message of wrong) issues.push({ path: `${base}.${path}`, message })
    return Result.getOrElse(expanded, () => "")
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const decodeStdio = Schema.decodeUnknownResult(Stdio, { errors: "all" })
const decodeHttp = Schema.decodeUnknownResult(Http, { errors: "all" })

const transportOf = (server: typeof Stdio.Type | typeof Http.Type): McpTransport =>
  "url" in server
    ? { type: "http", url: server.url, headers: server.headers ?? {} }
    : { type: "stdio", command: server.command, args: server.args ?? [], env: server.env ?? {}, cwd: server.cwd }

/** Unknown names below `espalier` are mistakes: a grant that is misspelt would silently not be there. */
const misspelt = (declared: unknown, path: string): ReadonlyArray<Issue> =>
  isRecord(declared)
    ? Object.keys(declared)
        .filter((key) => !(key in McpGrants.fields))
        .map((key) => ({
          path: `${path}.espalier.${key}`,
          message: `there is no such setting; there are ${Object.keys(McpGrants.fields).join(", ")}`
        }))
    : []

const read = (name: string, declared: unknown, environment: Environment, issues: Array<Issue>) => {
  const path = `mcpServers.${name}`
  if (!isRecord(declared)) {
    issues.push({ path, message: "a server is an object with a command, or with a type and a url" })
    return undefined
  }
  if (prefixOf(name) === "") issues.push({ path, message: "a server's name has at least one letter or digit" })
  if (declared["type"] === "sse") {
    issues.push({
      path: `${path}.type`,
      message: 'the transport "sse" was withdrawn from MCP; use "http" if the server has it'
    })
    return undefined
  }
  const before = issues.length
  const { espalier } = declared
  const isOfSession = isRecord(espalier) && espalier["scope"] === "session"
  const expanded = expandAll(declared, expander(environment, isOfSession, path, issues), "")
  if (issues.length > before) return undefined
  issues.push(...misspelt(declared["espalier"], path))
  const isHttp = declared["type"] !== undefined ? declared["type"] !== "stdio" : "url" in declared
  if (isHttp && declared["type"] === undefined) {
    issues.push({ path: `${path}.type`, message: 'a server with a url needs "type": "http"' })
    return undefined
  }
  const decoded: Result.Result<typeof Stdio.Type | typeof Http.Type, Schema.SchemaError> = isHttp
    ? decodeHttp(expanded)
    : decodeStdio(expanded)
  if (Result.isFailure(decoded)) {
    const found = InvalidInput.fromSchema(decoded.failure).issues
    issues.push(...found.map((issue) => ({ path: `${path}.${issue.path}`.replace(/\.$/, ""), message: issue.message })))
    return undefined
  }
  return { name, transport: transportOf(decoded.success), grants: decoded.success.espalier ?? {} }
}

/** The servers of an `mcpServers` object, or every place that is wrong in it. */
export const fromDeclarations = (
  declared: unknown,
  environment: Environment
): Result.Result<ReadonlyArray<McpServerConfig>, ReadonlyArray<Issue>> => {
  if (!isRecord(declared)) return Result.fail([{ path: "mcpServers", message: "an object of servers by their name" }])
  const names = Object.keys(declared)
  if (names.length > maxServers) {
    return Result.fail([
      { path: "mcpServers", message: `at most ${maxServers} servers, and there are ${names.length}` }
    ])
  }
  const issues: Array<Issue> = []
  const servers: Array<McpServerConfig> = []
  const prefixes = new Map<string, string>()
  for (const name of names) {
    const server = read(name, declared[name], environment, issues)
    if (server === undefined) continue
    const twin = prefixes.get(prefixOf(name))
    if (twin !== undefined) {
      issues.push({
        path: `mcpServers.${name}`,
        message: `its tools would have the names of those of "${twin}"; rename one`
      })
    }
    prefixes.set(prefixOf(name), name)
    servers.push(server)
  }
  return issues.length > 0 ? Result.fail(issues) : Result.succeed(servers)
}

/** The same from the text of a file. */
export const fromText = (
  text: string,
  environment: Environment
): Result.Result<ReadonlyArray<McpServerConfig>, ReadonlyArray<Issue>> => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    return Result.fail([{ path: "", message: `not JSON (${cause instanceof Error ? cause.message : "unreadable"})` }])
  }
  if (!isRecord(json) || !("mcpServers" in json)) {
    return Result.fail([{ path: "", message: 'there is no "mcpServers" in it' }])
  }
  return fromDeclarations(json["mcpServers"], environment)
}
