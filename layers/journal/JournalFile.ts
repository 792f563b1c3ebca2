/**
 * Opens a journal's file: looks before it touches, refuses what it cannot read, and brings what is older up to date.
 * A refused file stays as it was, byte for byte.
 */
import { Effect } from "effect"
import { Reactivity } from "effect/reactivity"
import type { SqlClient } from "effect/sql"
import { closeSync, openSync, statSync } from "node:fs"
import { pathToFileURL } from "node:url"
import { StorageCorrupt, StorageNewer, StorageUnavailable } from "../../services/journal/StorageError.ts"
import { APPLICATION_ID, migrations } from "./migrations.ts"
import * as Sqlite from "./Sqlite.ts"
import * as SqliteClient from "./SqliteClient.ts"
import { toStorageError } from "./toStorageError.ts"

const CHECKED_WHOLE = 64 * 1024 * 1024

/** Up to so many streams, their indexes are checked when the file is opened, whatever its size: about 0.1 s. */
const CHECKED_STREAMS = 100_000

const SETTINGS = [
  // Measured: a fifth more events per second than 4 KiB, and nothing lost when they come one by one.
  "PRAGMA page_size = 8192",
  "PRAGMA journal_mode = WAL",
  // The one setting that keeps an acknowledged commit over a loss of power.
  "PRAGMA synchronous = FULL",
  // 64 MiB: a commit's pages have to fit, or they are written twice.
  "PRAGMA cache_size = -65536",
  "PRAGMA wal_autocheckpoint = 2000",
  "PRAGMA journal_size_limit = 67108864",
  "PRAGMA trusted_schema = OFF",
  "PRAGMA foreign_keys = ON"
]

const pragma = (sql: SqlClient.SqlClient, name: string) =>
  Effect.map(sql.unsafe<Readonly<Record<string, unknown>>>(`PRAGMA ${name}`), ([row]) =>
    row === undefined ? undefined : Object.values(row)[0]
  )

const sizeOf = (filename: string) =>
  Effect.try({
    try: () => statSync(filename, { throwIfNoEntry: false })?.size ?? 0,
    catch: (cause) => new StorageUnavailable({ detail: String(cause) })
  })

/** Refuses the file or tells its version; 0 when there is none yet. */
const inspect = Effect.fnUntraced(function* (filename: string, checkedWhole: number) {
  const size = yield* sizeOf(filename)
  if (size === 0) return 0
  // Without a log from a crash there is nothing to bring together, so SQLite need not put files of its own beside it.
  const address = pathToFileURL(filename)
  if ((yield* sizeOf(`${filename}-wal`)) === 0) address.searchParams.set("immutable", "1")
  const sql = yield* SqliteClient.make(yield* Sqlite.open({ filename: address, isReadOnly: true }))
  const version = Number(yield* pragma(sql, "user_version"))
  const owner = yield* pragma(sql, "application_id")
  const tables = yield* sql.unsafe<{ readonly name: string }>("SELECT name FROM sqlite_schema LIMIT 1")
  if (tables.length === 0 && version === 0) return 0
  if (owner !== APPLICATION_ID) {
    return yield* new StorageCorrupt({ detail: `${filename} is a database of another program` })
  }
  if (version > migrations.length) {
    return yield* new StorageNewer({ found: version, supported: migrations.length })
  }
  const [last] = yield* sql.unsafe<{ readonly id: number | null }>("SELECT max(id) AS id FROM streams")
  // An index that has lost a stream would say that there is none, so it is compared with the streams.
  const isIndexed = (last?.id ?? 0) > CHECKED_STREAMS ? "ok" : yield* pragma(sql, "integrity_check(streams)")
  const isWhole = size > checkedWhole ? "ok" : yield* pragma(sql, "quick_check(1)")
  const check = isIndexed === "ok" ? isWhole : isIndexed
  if (check !== "ok") return yield* new StorageCorrupt({ detail: `${filename}: ${String(check)}` })
  return version
}, Effect.scoped)

/** Takes the steps that are missing, each whole or not at all. */
const migrate = (sql: SqlClient.SqlClient, version: number) =>
  Effect.forEach(
    migrations.slice(version).entries(),
    ([index, statements]) =>
      sql.withTransaction(
        Effect.forEach(
          [...statements, `PRAGMA application_id = ${APPLICATION_ID}`, `PRAGMA user_version = ${version + index + 1}`],
          (statement) => sql.unsafe(statement),
          { discard: true }
        )
      ),
    { discard: true }
  )

export interface Options {
  readonly filename: string
  /** Largest size in bytes (default: as the disk allows). At that size it answers as a full disk does. */
  readonly maxSize?: number | undefined
  /**
   * Up to this size, in bytes, the whole file is checked when it is opened (default 64 MiB, which takes about 0.1 s).
   * Damage in larger ones is found when it is read.
   */
  readonly checkedWhole?: number | undefined
}

export const open = Effect.fnUntraced(
  function* ({ checkedWhole = CHECKED_WHOLE, filename, maxSize }: Options) {
    const version = yield* inspect(filename, checkedWhole)
    yield* Effect.try({
      // Made here, so that nobody else may read it; what SQLite puts beside it takes over its permissions.
      try: () => closeSync(openSync(filename, "a", 0o600)),
      catch: (cause) => new StorageUnavailable({ detail: String(cause) })
    })
    const sqlite = yield* Sqlite.open({ filename })
    const sql = yield* SqliteClient.make(sqlite)
    yield* Effect.forEach(SETTINGS, (setting) => sql.unsafe(setting), { discard: true })
    if (maxSize !== undefined) {
      const pageSize = Number(yield* pragma(sql, "page_size"))
      yield* sql.unsafe(`PRAGMA max_page_count = ${Math.max(Math.floor(maxSize / pageSize), 1)}`)
    }
    const mode = yield* pragma(sql, "journal_mode")
    if (mode !== "wal") {
      return yield* new StorageUnavailable({ detail: `${filename} is on a file system without shared memory` })
    }
    yield* migrate(sql, version)
    return sqlite
  },
  Effect.provide(Reactivity.layer),
  Effect.catchTag("SqlError", (error) => Effect.fail(toStorageError(error)))
)
