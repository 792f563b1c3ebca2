/** Files of a journal as faults leave them. Everything is drawn from a seed, so that a failure can be repeated. */
import { Effect } from "effect"
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as JournalFile from "../../layers/journal/JournalFile.ts"
import * as JournalReader from "../../layers/journal/JournalReader.ts"

/** The generator `mulberry32`. */
export const randomFrom = (seed: number) => {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  return { next, below: (bound: number) => Math.floor(next() * bound) }
}
export type Random = ReturnType<typeof randomFrom>

export const files = ["journal.db", "journal.db-wal"] as const

export const copy = (from: string, to: string): void => {
  for (const file of files) if (existsSync(join(from, file))) copyFileSync(join(from, file), join(to, file))
}

export const edit = (directory: string, file: (typeof files)[number], change: (bytes: Buffer) => Buffer): void => {
  const path = join(directory, file)
  writeFileSync(path, change(readFileSync(path)))
}

/** Opens the file and reads it, without a writer. */
export const reader = (directory: string, options: Omit<JournalFile.Options, "filename"> = {}) =>
  Effect.map(JournalFile.open({ ...options, filename: join(directory, "journal.db") }), (sqlite) => ({
    sqlite,
    ...JournalReader.make(sqlite)
  }))
