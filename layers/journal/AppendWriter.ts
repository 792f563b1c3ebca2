/**
 * The one writer of a journal's file: appends that arrived together go into one transaction and share its sync, and
 * each caller hears only after that.
 *
 * A failing store fails everyone in the transaction, and the next one tries again by itself. What lies in one append
 * alone is kept from the others: a second writer and a damaged head are seen before anything is written, and a row that
 * the store refuses makes the transaction be repeated append by append.
 */
import { Effect, Result } from "effect"
import type { SQLInputValue } from "node:sqlite"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import type { Topic } from "../../services/events/Topic.ts"
import { planAppend } from "../../services/journal/planAppend.ts"
import { StorageCorrupt, StorageUnavailable } from "../../services/journal/StorageError.ts"
import type { WaitingAppend } from "./AppendQueue.ts"
import * as Checksums from "./Checksums.ts"
import type { Blob } from "./EventText.ts"
import { HEAD_COLUMNS, type StoredHead, toStoredHead } from "./JournalReader.ts"
import { KnownHeads } from "./KnownHeads.ts"
import { CHUNK } from "./migrations.ts"
import { codeOf, type Sqlite } from "./Sqlite.ts"
import { isAboutContent, isDamage, isSyncFailure, toStorageError } from "./toStorageError.ts"

/** The steps of a commit, in their order. */
export const steps = ["before write", "before commit", "after commit", "after answer"] as const
export type Step = (typeof steps)[number]

export interface Options {
  /** Told of each step as it comes: a test dies there, or fails as SQLite would. */
  readonly onStep?: ((step: Step) => void) | undefined
}

/** Rows in one statement, at most: more gain nothing. Smaller ones are powers of two, so that few are prepared. */
const ROWS = 32
const rowsFor = (left: number) => Math.min(ROWS, 2 ** (31 - Math.clz32(left)))

const inserting = (into: string, columns: number, then = "") => {
  const row = `(${Array.from({ length: columns }, () => "?").join()})`
  const texts = new Map<number, string>()
  /** Inserts all rows, whose values lie one after the other. */
  return (sqlite: Sqlite, values: ReadonlyArray<SQLInputValue>): void => {
    for (let index = 0; index < values.length;) {
      const rows = rowsFor((values.length - index) / columns)
      const end = index + rows * columns
      let text = texts.get(rows)
      if (text === undefined) {
        text = `INSERT INTO ${into} VALUES ${Array.from({ length: rows }, () => row).join()}${then}`
        texts.set(rows, text)
      }
      sqlite.run(text, ...(index === 0 && end === values.length ? values : values.slice(index, end)))
      index = end
    }
  }
}

const ON_CONFLICT = ` ON CONFLICT (id) DO UPDATE SET
  sequence = excluded.sequence, tail = excluded.tail, summary = excluded.summary, crc = excluded.crc`
const insertEvents = inserting(`events ("offset", stream, sequence, at, event, crc)`, 6)
const insertChunks = inserting("chunks (stream, number, offsets, crc)", 4)
const insertHeads = inserting(
  "streams (id, name, sequence, open, tail, summary, crc, owner, label)",
  9,
  `${ON_CONFLICT}, open = excluded.open, label = excluded.label`
)
// Leaves out what is in an index and has not changed, so that SQLite leaves the indexes alone.
const updateHeads = inserting("streams (id, name, sequence, open, tail, summary, crc)", 7, ON_CONFLICT)

export const make = (sqlite: Sqlite, now: () => number, { onStep = () => undefined }: Options = {}) => {
  const last = sqlite.get(`SELECT (SELECT max(id) FROM streams) AS id, (SELECT max("offset") FROM events) AS "offset"`)
  let lastId = Number(last?.["id"] ?? 0)
  let lastOffset = Number(last?.["offset"] ?? 0)
  const known = new KnownHeads()
  let isSealed = false

  /** Looks up the heads of streams that are not remembered; tells which of them are damaged. */
  const learn = (batch: ReadonlyArray<WaitingAppend>): ReadonlySet<Topic> | undefined => {
    known.age()
    const names = new Set<Topic>()
    for (const { appends } of batch)
      for (const { stream } of appends) if (known.get(stream) === undefined) names.add(stream)
    if (names.size === 0) return undefined
    const unknown = [...names]
    const damaged = new Set<Topic>()
    for (let index = 0; index < unknown.length;) {
      const some = unknown.slice(index, index + rowsFor(unknown.length - index))
      const rows = sqlite.all(
        `SELECT ${HEAD_COLUMNS} FROM streams WHERE name IN (${some.map(() => "?").join()})`,
        ...some
      )
      for (const row of rows) {
        const found = toStoredHead(row)
        if (found.isDamaged) damaged.add(found.head.stream)
        else known.set(found.head.stream, found.head)
      }
      index += some.length
    }
    return damaged
  }

  const write = (batch: ReadonlyArray<WaitingAppend>): void => {
    const at = now()
    const damaged = learn(batch)
    const heads = new Map<Topic, StoredHead>()
    const accepted: Array<readonly [WaitingAppend, ReadonlyArray<Recorded>]> = []
    const rows: Array<SQLInputValue> = []
    const chunks: Array<SQLInputValue> = []
    const snapshots = new Map<number, ReadonlyArray<SQLInputValue>>()
    const blobs: Array<readonly [number, Blob]> = []
    const sequenceOf = (stream: Topic) => (heads.get(stream) ?? known.get(stream))?.sequence ?? 0
    let streamId = lastId
    let offset = lastOffset
    for (const waiting of batch) {
      const hurt = damaged?.size === 0 ? undefined : waiting.appends.find(({ stream }) => damaged?.has(stream))
      if (hurt !== undefined) {
        waiting.answer(Effect.fail(new StorageCorrupt({ detail: `the head of ${hurt.stream} is damaged` })))
        continue
      }
      const plan = planAppend(waiting.appends, sequenceOf, at)
      if (Result.isFailure(plan)) {
        waiting.answer(Effect.die(plan.failure))
        continue
      }
      let next = 0
      for (const { events, label, open, owner, stream, summary } of waiting.appends) {
        const head = heads.get(stream) ?? known.get(stream)
        const id = head?.id ?? ++streamId
        let sequence = head?.sequence ?? 0
        let tail = head?.tail ?? ""
        for (let left = events.length; left > 0; left--) {
          const stored = waiting.texts[next++]
          if (stored === undefined) throw new Error("an event without its text")
          rows.push(++offset, id, ++sequence, at, stored.text, Checksums.ofEvent(id, sequence, at, stored.text))
          for (const blob of stored.blobs) blobs.push([offset, blob])
          tail = tail === "" ? `${offset}` : `${tail},${offset}`
          if (sequence % CHUNK === 0) {
            const number = sequence / CHUNK - 1
            chunks.push(id, number, tail, Checksums.ofChunk(id, number, tail))
            tail = ""
          }
        }
        heads.set(stream, {
          id,
          stream,
          sequence,
          earliest: head?.earliest ?? 1,
          open,
          tail,
          summary,
          owner: head === undefined ? owner : head.owner,
          label
        })
      }
      for (const [stream, { needs, sequence, state, version }] of plan.success.snapshots) {
        const id = heads.get(stream)?.id
        if (id === undefined) continue
        const crc = Checksums.ofSnapshot(id, sequence, version, needs, state)
        snapshots.set(id, [id, sequence, version, needs, state, crc])
      }
      accepted.push([waiting, plan.success.recorded])
    }
    if (accepted.length === 0) return

    const changed: Array<SQLInputValue> = []
    const same: Array<SQLInputValue> = []
    for (const [stream, head] of heads) {
      const { id, label, open, owner, sequence, summary, tail } = head
      const former = known.get(stream)
      const crc = Checksums.ofHead(head)
      const isSame = former?.open === open && former.label === label
      if (isSame) same.push(id, stream, sequence, open ? 1 : 0, tail, summary, crc)
      else changed.push(id, stream, sequence, open ? 1 : 0, tail, summary, crc, owner ?? null, label ?? null)
    }
    onStep("before write")
    sqlite.transact(() => {
      insertEvents(sqlite, rows)
      insertChunks(sqlite, chunks)
      insertHeads(sqlite, changed)
      updateHeads(sqlite, same)
      for (const values of snapshots.values())
        sqlite.run("INSERT OR REPLACE INTO snapshots VALUES (?,?,?,?,?,?)", ...values)
      for (const [at, { body, hash }] of blobs) {
        sqlite.run("INSERT INTO blobs (hash, body) VALUES (?,?) ON CONFLICT (hash) DO NOTHING", hash, body)
        sqlite.run("INSERT OR IGNORE INTO parts SELECT ?, id FROM blobs WHERE hash = ?", at, hash)
      }
      onStep("before commit")
    })
    lastId = streamId
    lastOffset = offset
    for (const [stream, { summary: _, ...head }] of heads) known.set(stream, head)
    onStep("after commit")
    for (const [waiting, recorded] of accepted) waiting.answer(Effect.succeed(recorded))
    onStep("after answer")
  }

  const refuse = (batch: ReadonlyArray<WaitingAppend>, cause: unknown): void => {
    known.clear()
    if ((isAboutContent(cause) || isDamage(cause)) && batch.length > 1) {
      for (const one of batch) commit([one])
      return
    }
    isSealed ||= isSyncFailure(cause)
    const answer = isAboutContent(cause) ? Effect.die(cause) : Effect.fail(toStorageError(cause))
    for (const waiting of batch) waiting.answer(answer)
  }

  /** Answers every append in the batch, or throws: then it is not our store's doing. */
  const commit = (batch: ReadonlyArray<WaitingAppend>): void => {
    try {
      refuseWhenSealed()
      write(batch)
    } catch (cause) {
      if (codeOf(cause) === undefined && !(cause instanceof StorageUnavailable)) throw cause
      refuse(batch, cause)
    }
  }

  /** Asked again, the system would say that all is well, whatever became of the writes before. */
  const refuseWhenSealed = (): void => {
    if (!isSealed) return
    throw new StorageUnavailable({
      detail: "the disk failed to sync, so what it says can no longer be trusted: restart the server"
    })
  }

  /** Changes what is stored of a stream by other means than an append, and answers with what the work returns. */
  const change = <A>(stream: Topic, work: () => A): A => {
    refuseWhenSealed()
    known.delete(stream)
    try {
      return sqlite.transact(work)
    } catch (cause) {
      isSealed ||= isSyncFailure(cause)
      throw cause
    }
  }

  return { commit, change }
}

export type AppendWriter = ReturnType<typeof make>
