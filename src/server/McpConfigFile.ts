/**
 * The declaration of MCP servers: an `mcpServers` object, or a file with one.
 *
 * A declaration names programs to run, so only a file that somebody has named is read; one that merely lies in the
 * working directory is mentioned and left alone.
 */
import { Effect, Result } from "effect"
import { existsSync } from "node:fs"
import { open } from "node:fs/promises"
import { resolve } from "node:path"
import {
  fromDeclarations,
  fromText,
  type McpServerConfig,
  type McpServerDeclarations
} from "../../services/mcp/McpConfig.ts"
import { InvalidConfig } from "./InvalidConfig.ts"

/** Bytes of a file. */
const maxSize = 1024 * 1024
/** Places that are told of. */
const maxIssues = 10

const environment = (name: string): string | undefined => process.env[name]

type Issues = ReadonlyArray<{ readonly path: string; readonly message: string }>

const invalid = (source: string, issues: Issues): InvalidConfig => {
  const lines = issues.slice(0, maxIssues).map(({ message, path }) => (path === "" ? message : `${path}: ${message}`))
  const more = issues.length - lines.length
  return new InvalidConfig({ detail: `${source}: ${lines.join("; ")}${more > 0 ? `; and ${more} more` : ""}` })
}

/** The servers that a program declares. */
export const readServers = (
  declared: McpServerDeclarations | ReadonlyArray<McpServerConfig>
): Effect.Effect<ReadonlyArray<McpServerConfig>, InvalidConfig> =>
  Effect.suspend(() => {
    if (isRead(declared)) return Effect.succeed(declared)
    const servers = fromDeclarations(declared, environment)
    return Result.isFailure(servers)
      ? Effect.fail(invalid("the MCP servers given", servers.failure))
      : Effect.succeed(servers.success)
  })

const isRead = (
  declared: McpServerDeclarations | ReadonlyArray<McpServerConfig>
): declared is ReadonlyArray<McpServerConfig> => Array.isArray(declared)

const textOf = async (path: string): Promise<string> => {
  const file = await open(path, "r")
  try {
    const { size } = await file.stat()
    if (size > maxSize) throw new Error(`it is larger than ${maxSize / 1024 / 1024} MiB`)
    return await file.readFile("utf8")
  } finally {
    await file.close()
  }
}

/** The servers that a file declares. */
export const readFile = Effect.fnUntraced(function* (path: string) {
  const source = resolve(path)
  const text = yield* Effect.tryPromise({
    try: () => textOf(source),
    catch: (cause) =>
      new InvalidConfig({
        detail: `the MCP configuration ${source} cannot be read (${cause instanceof Error ? cause.message : String(cause)})`
      })
  })
  const servers = fromText(text, environment)
  return Result.isFailure(servers) ? yield* invalid(source, servers.failure) : servers.success
})

/** Says so where somebody may expect that the file in the working directory is read. */
export const mention = Effect.suspend(() =>
  existsSync(".mcp.json")
    ? Effect.logInfo(
        'there is a .mcp.json here, and it was not read: name it with "--mcp-config .mcp.json" to run its servers'
      )
    : Effect.void
)
