/** What SQLite's result codes mean to whoever uses the journal. */
import { SqlError } from "effect/sql"
import {
  StorageCorrupt,
  type StorageError,
  StorageFull,
  StorageUnavailable
} from "../../services/journal/StorageError.ts"
import { codeOf } from "./Sqlite.ts"

const FULL = 13
const CORRUPT = 11
const NOT_A_DATABASE = 26
/** The shared index of the write-ahead log could not grow: no room, reported as an input/output error. */
const SHARED_INDEX_SIZE = 4874
const SYNC_FAILED = 1034
const DIRECTORY_SYNC_FAILED = 1290
const CONSTRAINT = 19
const TOO_BIG = 18

const codeIn = (cause: unknown): number | undefined =>
  codeOf(cause instanceof SqlError.SqlError ? cause.reason.cause : cause)

/** Of an error of SQLite, whether Effect has wrapped it or not, or one of ours. */
export const toStorageError = (cause: unknown): StorageError => {
  if (cause instanceof StorageFull || cause instanceof StorageCorrupt || cause instanceof StorageUnavailable) {
    return cause
  }
  const message = cause instanceof Error ? cause.message : String(cause)
  const code = codeIn(cause)
  if (code === undefined) return new StorageUnavailable({ detail: message })
  const detail = `${message}; SQLite code ${code}`
  switch (code === SHARED_INDEX_SIZE ? FULL : code & 0xff) {
    case FULL:
      return new StorageFull({ detail })
    case CORRUPT:
    case NOT_A_DATABASE:
      return new StorageCorrupt({ detail })
    default:
      return new StorageUnavailable({ detail })
  }
}

/** The system could not say what of the last writes is on disk, and will not tell when asked again. */
export const isSyncFailure = (cause: unknown): boolean => {
  const code = codeIn(cause)
  return code === SYNC_FAILED || code === DIRECTORY_SYNC_FAILED
}

/** It lies in what was to be written, not in the store. */
export const isAboutContent = (cause: unknown): boolean => {
  const code = codeIn(cause)
  return code !== undefined && ((code & 0xff) === CONSTRAINT || code === TOO_BIG)
}

/** It may lie in the place that one stream's rows are kept in, and leave the others alone. */
export const isDamage = (cause: unknown): boolean => {
  const code = codeIn(cause)
  return code !== undefined && (code & 0xff) === CORRUPT
}
