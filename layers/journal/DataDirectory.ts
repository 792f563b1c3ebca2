/**
 * `DataDirectory` on the file system: readable by its owner alone, and held by one process at a time.
 *
 * The hold is a lock of the operating system (SQLite's exclusive lock on a small file), so it goes with the process
 * however that ends, and no stale lock can be left. Beside it lies a note that names the holder, for people to read.
 */
import { Effect, Layer } from "effect"
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { DataDirectory } from "../../services/journal/DataDirectory.ts"
import { DataDirectoryBusy, StorageUnavailable } from "../../services/journal/StorageError.ts"

const LOCK = "lock"
const HOLDER = "lock.holder"

const reason = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

/** Makes the directory and the file of the lock, and takes from others what they may do with an older directory. */
const prepare = (path: string): string => {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o700)
  const lock = join(path, LOCK)
  closeSync(openSync(lock, "a", 0o600))
  return lock
}

const holderOf = (path: string): string => {
  try {
    return readFileSync(join(path, HOLDER), "utf8").trim() || "an unnamed process"
  } catch {
    return "an unnamed process"
  }
}

export const make = Effect.fnUntraced(function* (directory: string) {
  const path = resolve(directory)
  const unavailable = (cause: unknown) =>
    new StorageUnavailable({ detail: `the data directory ${path} cannot be made or written: ${reason(cause)}` })

  const lock = yield* Effect.try({ try: () => prepare(path), catch: unavailable })
  const database = yield* Effect.acquireRelease(
    Effect.try({ try: () => new DatabaseSync(lock, { timeout: 0 }), catch: unavailable }),
    (database) => Effect.sync(() => database.close())
  )
  yield* Effect.try({
    // Nothing is ever written to it, so it needs no log beside it.
    try: () => database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE"),
    catch: (cause) =>
      cause instanceof Error && "errcode" in cause && cause.errcode === 5
        ? new DataDirectoryBusy({ directory: path, holder: holderOf(path) })
        : unavailable(cause)
  })
  yield* Effect.try({
    try: () => writeFileSync(join(path, HOLDER), `pid ${process.pid}\n`, { mode: 0o600 }),
    catch: unavailable
  })
  return DataDirectory.of({ path })
})

export const layer = (directory: string) => Layer.effect(DataDirectory, make(directory))
