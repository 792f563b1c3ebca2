/**
 * `McpApprovals` in one file of the data directory, readable by its owner alone. Each change writes a new file beside it
 * and puts that in its place, so a crash at any instant leaves the one or the other whole.
 */
import { Effect, Layer, Schema, Semaphore } from "effect"
import { open, readFile, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { DataDirectory } from "../../services/journal/DataDirectory.ts"
import { StorageCorrupt, StorageFull, StorageUnavailable } from "../../services/journal/StorageError.ts"
import { McpApprovals } from "../../services/mcp/McpApprovals.ts"
import { type Approved, ApprovedTool } from "../../services/mcp/planApproval.ts"

const FILE = "mcp-approved.json"

const Stored = Schema.fromJsonString(
  Schema.Struct({
    version: Schema.Literal(1),
    servers: Schema.Array(Schema.Struct({ name: Schema.String, tools: Schema.Array(ApprovedTool) }))
  })
)
const decode = Schema.decodeUnknownEffect(Stored)
const encode = Schema.encodeEffect(Stored)

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : ""

const toError = (path: string) => (cause: unknown) =>
  codeOf(cause) === "ENOSPC"
    ? new StorageFull({ detail: path })
    : new StorageUnavailable({ detail: `${path}: ${cause instanceof Error ? cause.message : String(cause)}` })

/** Written and on the disk before it takes the name, and the name is on the disk before this returns. */
const replace = async (path: string, text: string): Promise<void> => {
  const next = `${path}.next`
  await rm(next, { force: true })
  const file = await open(next, "wx", 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(next, path)
  const directory = await open(dirname(path), "r")
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

const make = Effect.gen(function* () {
  const path = join((yield* DataDirectory).path, FILE)
  const lock = yield* Semaphore.make(1)

  const read = Effect.tryPromise({
    try: () =>
      readFile(path, "utf8").catch((cause: unknown) =>
        codeOf(cause) === "ENOENT" ? undefined : Promise.reject(cause)
      ),
    catch: toError(path)
  }).pipe(
    Effect.flatMap((text) =>
      text === undefined
        ? Effect.succeed([])
        : Effect.map(
            Effect.mapError(decode(text), (error) => new StorageCorrupt({ detail: `${path}: ${error.message}` })),
            ({ servers }) => servers
          )
    )
  )

  return McpApprovals.of({
    load: Effect.map(
      read,
      (servers) =>
        new Map(
          servers.map(({ name, tools }): [string, Approved] => [name, new Map(tools.map((tool) => [tool.name, tool]))])
        )
    ),
    save: (server, approved) =>
      Effect.gen(function* () {
        const others = (yield* read).filter(({ name }) => name !== server)
        const servers = [...others, { name: server, tools: [...approved.values()] }]
        const text = yield* Effect.orDie(encode({ version: 1, servers }))
        yield* Effect.tryPromise({ try: () => replace(path, `${text}\n`), catch: toError(path) })
      }).pipe(Effect.uninterruptible, lock.withPermits(1))
  })
})

export const layer = Layer.effect(McpApprovals, make)
