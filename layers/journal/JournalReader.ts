/**
 * Reads a journal's file. Every read runs in one go, so it sees one state of the file, and it fails closed: a gap, a
 * row that is not what was written and an event that this version does not know are never skipped. What is damaged
 * hurts its own stream alone.
 */
import type { SQLInputValue } from "node:sqlite"
import type { DurableEvent, Recorded } from "../../services/events/RuntimeEvent.ts"
import { Topic } from "../../services/events/Topic.ts"
import type { HeadsOptions, ReadOptions, Snapshot, StreamHead } from "../../services/journal/Journal.ts"
import { StorageCorrupt } from "../../services/journal/StorageError.ts"
import { SessionEvent } from "../../services/session/SessionEvent.ts"
import { WorkerEvent } from "../../services/worker/WorkerEvent.ts"
import * as Checksums from "./Checksums.ts"
import * as EventText from "./EventText.ts"
import { CHUNK } from "./migrations.ts"
import { int, type Row, type Sqlite, text } from "./Sqlite.ts"

export interface StoredHead extends Checksums.Head {
  readonly stream: Topic
}

export const HEAD_COLUMNS = "id, name, sequence, earliest, open, tail, summary, owner, label, crc"

const isTopic = (value: unknown): value is Topic => typeof value === "string"

/** Of a row that has lost its name. */
const nameless = Topic.make("session:ses_damaged")

/** `isDamaged`: the row is not what was written. */
export const toStoredHead = (row: Row): { readonly head: StoredHead; readonly isDamaged: boolean } => {
  const name = row["name"]
  const head = {
    id: int(row["id"]),
    stream: isTopic(name) ? name : nameless,
    sequence: int(row["sequence"]),
    earliest: int(row["earliest"]),
    open: row["open"] === 1,
    tail: text(row["tail"]) ?? "",
    summary: text(row["summary"]) ?? "",
    owner: text(row["owner"]),
    label: text(row["label"])
  }
  const crc = row["crc"]
  return { head, isDamaged: crc !== null && crc !== Checksums.ofHead(head) }
}

const toHead = ({ earliest, label, open, owner, sequence, stream, summary }: StoredHead): StreamHead => ({
  stream,
  sequence,
  earliest,
  open,
  summary,
  ...(owner === undefined ? undefined : { owner }),
  ...(label === undefined ? undefined : { label })
})

const knownEvents = new Set([...Object.keys(SessionEvent.cases), ...Object.keys(WorkerEvent.cases)])

const isKnownEvent = (value: unknown): value is DurableEvent =>
  typeof value === "object" &&
  value !== null &&
  "_tag" in value &&
  typeof value._tag === "string" &&
  knownEvents.has(value._tag)

/** Events looked up at first where their size matters; how large these are tells how many the next ones may be. */
const STEP = 16

const EVENTS = `SELECT stream, sequence, at, event, crc FROM json_each(?) AS place
  CROSS JOIN events ON events."offset" = place.value`

export const make = (sqlite: Sqlite) => {
  const corrupt = (detail: string) => new StorageCorrupt({ detail })

  const find = (stream: Topic): StoredHead | undefined => {
    const row = sqlite.get(`SELECT ${HEAD_COLUMNS} FROM streams WHERE name = ?`, stream)
    if (row === undefined) return undefined
    const { head, isDamaged } = toStoredHead(row)
    if (isDamaged) throw corrupt(`the head of ${stream} is damaged`)
    return head
  }

  /** Where the events with a sequence above `from` and up to `to` lie. */
  const offsetsOf = ({ id, sequence, stream, tail }: StoredHead, from: number, to: number): ReadonlyArray<string> => {
    const full = Math.floor(sequence / CHUNK)
    const first = Math.floor(from / CHUNK)
    const last = Math.floor((to - 1) / CHUNK)
    const offsets: Array<string> = []
    let next = first
    if (first < full) {
      const chunks = sqlite.all(
        "SELECT number, offsets, crc FROM chunks WHERE stream = ? AND number BETWEEN ? AND ? ORDER BY number",
        id,
        first,
        Math.min(last, full - 1)
      )
      for (const { crc, number, offsets: joined } of chunks) {
        const places = text(joined) ?? ""
        if (number !== next++ || (crc !== null && crc !== Checksums.ofChunk(id, int(number), places))) break
        for (const place of places.split(",")) offsets.push(place)
      }
    }
    if (last >= full && tail !== "") for (const place of tail.split(",")) offsets.push(place)
    const skipped = from - first * CHUNK
    const found = offsets.slice(skipped, skipped + to - from)
    if (found.length < to - from) throw corrupt(`event ${from + found.length + 1} of ${stream} is missing`)
    return found
  }

  /** Of the read that is going on. */
  let charactersRead = 0
  const bodyOf = (hash: string): string | undefined => {
    const body = text(sqlite.get("SELECT body FROM blobs WHERE hash = ?", hash)?.["body"])
    charactersRead += body?.length ?? 0
    return body
  }

  const toRecorded = (stream: Topic, id: number, expected: number, row: Row | undefined): Recorded => {
    const place = `event ${expected} of ${stream}`
    if (row === undefined || row["stream"] !== id || row["sequence"] !== expected) throw corrupt(`${place} is missing`)
    const at = int(row["at"])
    const event = text(row["event"]) ?? ""
    charactersRead += event.length
    const crc = row["crc"]
    if (crc !== null && crc !== Checksums.ofEvent(id, expected, at, event)) throw corrupt(`${place} is damaged`)
    let value: unknown
    try {
      value = EventText.decode(event, bodyOf)
    } catch {
      throw corrupt(`${place} cannot be read`)
    }
    if (!isKnownEvent(value)) {
      throw corrupt(`${place} is of a kind that this version does not know: ${event.slice(0, 60)}`)
    }
    return { topic: stream, sequence: expected, at, event: value }
  }

  const read = ({ after, limit = 1_000, size = Infinity, stream }: ReadOptions): ReadonlyArray<Recorded> => {
    const head = find(stream)
    if (head === undefined) return []
    const from = Math.max(after, head.earliest - 1, 0)
    const to = Math.min(from + Math.max(limit, 0), head.sequence)
    if (to <= from) return []
    const offsets = offsetsOf(head, from, to)
    let step = size === Infinity ? offsets.length : STEP
    const found: Array<Recorded> = []
    charactersRead = 0
    for (let at = 0; at < offsets.length && charactersRead < size;) {
      const some = offsets.slice(at, at + step)
      const rows = sqlite.all(EVENTS, `[${some.join()}]`)
      for (let index = 0; index < some.length && charactersRead < size; index++) {
        found.push(toRecorded(stream, head.id, from + found.length + 1, rows[index]))
      }
      at += some.length
      step = Math.max(STEP, Math.floor(((size - charactersRead) * found.length) / (charactersRead + 1)))
    }
    return found
  }

  const page = (
    { label, open, order = "newest first", owner, prefix }: HeadsOptions,
    before: string | undefined,
    limit: number
  ): ReadonlyArray<Row> => {
    const isDown = order === "newest first"
    // No name goes on with the last code unit, so this is where the names with the prefix end.
    const end = `${prefix}\uffff`
    const conditions = isDown ? ["name >= ?", "name < ?"] : ["name > ?", "name < ?"]
    const params: Array<SQLInputValue> = isDown
      ? [prefix, before === undefined || before > end ? end : before]
      : [before === undefined || before < prefix ? prefix : before, end]
    if (open === true) conditions.push("open = 1")
    if (owner !== undefined) {
      conditions.push("owner = ?")
      params.push(owner)
    }
    if (label !== undefined) {
      conditions.push("label = ?")
      params.push(label)
    }
    return sqlite.all(
      `SELECT ${HEAD_COLUMNS} FROM streams WHERE ${conditions.join(" AND ")} ORDER BY name ${isDown ? "DESC" : "ASC"} LIMIT ?`,
      ...params,
      limit
    )
  }

  /** As many as asked for, without those that are damaged: a short page is the last one. */
  const heads = (options: HeadsOptions) => {
    const found: Array<StreamHead> = []
    const damaged: Array<string> = []
    let before: string | undefined = options.before
    let limit = options.limit
    while (limit > 0) {
      const rows = page(options, before, limit)
      let seen = 0
      for (const row of rows) {
        const { head, isDamaged } = toStoredHead(row)
        if (isDamaged) damaged.push(head.stream)
        else {
          found.push(toHead(head))
          seen++
        }
      }
      const last: unknown = rows.at(-1)?.["name"]
      if (rows.length < limit || typeof last !== "string" || last === before) break
      before = last
      limit -= seen
    }
    return { found, damaged }
  }

  const snapshotOf = (id: number): (Snapshot & { readonly isDamaged: boolean }) | undefined => {
    const row = sqlite.get("SELECT sequence, version, needs, state, crc FROM snapshots WHERE stream = ?", id)
    if (row === undefined) return undefined
    const [sequence, version, needs] = [int(row["sequence"]), int(row["version"]), int(row["needs"])]
    const state = text(row["state"]) ?? ""
    const isDamaged = row["crc"] !== Checksums.ofSnapshot(id, sequence, version, needs, state)
    return { sequence, version, needs, state, isDamaged }
  }

  const snapshot = (stream: Topic): Snapshot | undefined => {
    const head = find(stream)
    const found = head === undefined ? undefined : snapshotOf(head.id)
    if (found === undefined) return undefined
    const { isDamaged, ...snapshot } = found
    // While the events it stands for are there, it is not needed.
    if (!isDamaged) return snapshot
    if (head?.earliest === 1) return undefined
    throw corrupt(`the snapshot of ${stream} is damaged`)
  }

  const head = (stream: Topic): StreamHead | undefined => {
    const found = find(stream)
    return found === undefined ? undefined : toHead(found)
  }

  return { find, head, heads, offsetsOf, read, snapshot }
}

export type JournalReader = ReturnType<typeof make>
