/** What can be wrong with the place where data is kept. */
import { Schema } from "effect"

/** No room is left. Nothing was written; reads go on, and writes work again once there is room. */
export class StorageFull extends Schema.TaggedError<StorageFull>()("StorageFull", { detail: Schema.String }) {
  override get message() {
    return `the disk that holds the data is full (${this.detail}); free some space and try again`
  }
}

/** The store answers with errors: read-only, locked, or failing. Nothing was acknowledged. */
export class StorageUnavailable extends Schema.TaggedError<StorageUnavailable>()("StorageUnavailable", {
  detail: Schema.String
}) {
  override get message() {
    return `the data store cannot be used (${this.detail}); nothing was changed`
  }
}

/** A stored record cannot be read: the file is damaged, or a newer version wrote it. */
export class StorageCorrupt extends Schema.TaggedError<StorageCorrupt>()("StorageCorrupt", { detail: Schema.String }) {
  override get message() {
    return `the data store is damaged (${this.detail}); it was left as it is: restore a backup or start with another data directory`
  }
}

/** The file was written by a newer version. It was not touched. */
export class StorageNewer extends Schema.TaggedError<StorageNewer>()("StorageNewer", {
  found: Schema.Int,
  supported: Schema.Int
}) {
  override get message() {
    return `the data was written by a newer version (schema ${this.found}, this one reads up to ${this.supported}); it was left untouched: upgrade, or use another data directory`
  }
}

/** Another process holds the data directory. */
export class DataDirectoryBusy extends Schema.TaggedError<DataDirectoryBusy>()("DataDirectoryBusy", {
  directory: Schema.String,
  holder: Schema.String
}) {
  override get message() {
    return `another server (${this.holder}) uses ${this.directory}; talk to that one (without --embedded), stop it, or give this one a directory of its own with --data or ESPALIER_DATA`
  }
}

/** What a read or an append can fail with while running. */
export const StorageError = Schema.Union([StorageFull, StorageUnavailable, StorageCorrupt])
export type StorageError = typeof StorageError.Type
