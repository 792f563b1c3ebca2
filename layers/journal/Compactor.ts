/**
 * Takes what may go out of a journal's file, in steps that are short enough to stand between two commits. Its space is
 * used again by what is written next; the file itself does not shrink.
 */
import type { CompactOptions, RemoveOptions } from "../../services/journal/Journal.ts"
import { compactableBelow, isRemovable } from "../../services/journal/planRemoval.ts"
import type { AppendWriter } from "./AppendWriter.ts"
import * as Checksums from "./Checksums.ts"
import type { Holds } from "./Holds.ts"
import type { JournalReader, StoredHead } from "./JournalReader.ts"
import { CHUNK } from "./migrations.ts"
import type { Sqlite } from "./Sqlite.ts"

/** Events that one step takes out. */
const STEP = 64 * CHUNK

export interface Progress<A> {
  readonly value: A
  /** Something is left to do. */
  readonly isMore: boolean
}

const PLACES = `SELECT value FROM json_each(?)`

export const make = (sqlite: Sqlite, reader: JournalReader, holds: Holds) => {
  const removeEvents = (head: StoredHead, from: number, to: number): void => {
    if (to <= from) return
    const places = `[${reader.offsetsOf(head, from, to).join()}]`
    const blobs = sqlite.all(`SELECT DISTINCT blob FROM parts WHERE "offset" IN (${PLACES})`, places)
    if (blobs.length > 0) {
      sqlite.run(`DELETE FROM parts WHERE "offset" IN (${PLACES})`, places)
      const unused = `[${blobs.map(({ blob }) => String(blob)).join()}]`
      sqlite.run(
        `DELETE FROM blobs WHERE id IN (${PLACES}) AND NOT EXISTS (SELECT 1 FROM parts WHERE parts.blob = blobs.id)`,
        unused
      )
    }
    sqlite.run(`DELETE FROM events WHERE "offset" IN (${PLACES}) AND stream = ?`, places, head.id)
  }

  /** Whole chunks only, so that what is left is found as before. */
  const removeBelow = (head: StoredHead, below: number): number => {
    const first = Math.floor((head.earliest - 1) / CHUNK)
    const end = Math.min(Math.floor((below - 1) / CHUNK), first + STEP / CHUNK)
    if (end <= first) return head.earliest
    const earliest = end * CHUNK + 1
    removeEvents(head, head.earliest - 1, earliest - 1)
    sqlite.run("DELETE FROM chunks WHERE stream = ? AND number < ?", head.id, end)
    const crc = Checksums.ofHead({ ...head, earliest })
    sqlite.run("UPDATE streams SET earliest = ?, crc = ? WHERE id = ?", earliest, crc, head.id)
    return earliest
  }

  const forget = (head: StoredHead): void => {
    removeEvents(head, head.earliest - 1, head.sequence)
    for (const table of ["chunks", "snapshots"]) sqlite.run(`DELETE FROM ${table} WHERE stream = ?`, head.id)
    sqlite.run("DELETE FROM streams WHERE id = ?", head.id)
  }

  const compactSome = (writer: AppendWriter, { before, stream }: CompactOptions): Progress<number> => {
    const head = reader.find(stream)
    if (head === undefined) return { value: 1, isMore: false }
    const snapshot = reader.snapshot(stream)
    const below = compactableBelow(before, { head, snapshot, held: holds.lowest(stream) })
    if (below - head.earliest < CHUNK) return { value: head.earliest, isMore: false }
    const earliest = writer.change(stream, () => removeBelow(head, below))
    return { value: earliest, isMore: earliest > head.earliest && below - earliest >= CHUNK }
  }

  const removeSome = (writer: AppendWriter, { sequence, stream }: RemoveOptions): Progress<boolean> => {
    const head = reader.find(stream)
    if (head === undefined || !isRemovable(sequence, { head, held: holds.lowest(stream) })) {
      return { value: false, isMore: false }
    }
    const isLast = head.sequence - head.earliest < STEP
    writer.change(stream, () => (isLast ? forget(head) : void removeBelow(head, head.sequence)))
    return { value: isLast, isMore: !isLast }
  }

  return { compactSome, removeSome }
}
