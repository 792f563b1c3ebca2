/** What SQLite's result codes mean to whoever uses the journal. */
import type { SqlError } from "effect/sql"
import {
  StorageCorrupt,
  type StorageError,
  StorageFull,
  StorageUnavailable
} from "../../services/journal/StorageError.ts"
import { sqliteCode } from "./SqliteClient.ts"

const FULL = 13
const CORRUPT = 11
const NOT_A_DATABASE = 26
/** The shared index of the write-ahead log could not grow: no room, reported as an input/output error. */
const SHARED_INDEX_SIZE = 4874
const SYNC_FAILED = 1034
const DIRECTORY_SYNC_FAILED = 1290
const CONSTRAINT = 19
const TOO_BIG = 18

export const toStorageError = (error: SqlError.SqlError): StorageError => {
  const code = sqliteCode(error)
  if (code === undefined) return new StorageUnavailable({ detail: error.message })
  const detail = `${error.message}; SQLite code ${code}`
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
export const isSyncFailure = (error: SqlError.SqlError): boolean => {
  const code = sqliteCode(error)
  return code === SYNC_FAILED || code === DIRECTORY_SYNC_FAILED
}

/** It lies in what was to be written, not in the store. */
export const isAboutContent = (error: SqlError.SqlError): boolean => {
  const code = sqliteCode(error)
  return code !== undefined && ((code & 0xff) === CONSTRAINT || code === TOO_BIG)
}
