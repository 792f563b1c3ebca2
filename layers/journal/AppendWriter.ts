/**
 * The one writer of a journal's file: appends that arrived together go into one transaction and share its sync, and
 * each caller hears only after that.
 *
 * A failing store fails everyone in the transaction, and the next one tries again by itself. What lies in one append
 * alone is kept from the others: a second writer is seen before anything is written, and a row that the store refuses
 * makes the transaction be repeated append by append.
 */
import { Clock, Effect, Result } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import type { Topic } from "../../services/events/Topic.ts"
import { planAppend } from "../../services/journal/planAppend.ts"
import { StorageUnavailable } from "../../services/journal/StorageError.ts"
import type { WaitingAppend } from "./AppendQueue.ts"
import { isAboutContent, isSyncFailure, toStorageError } from "./toStorageError.ts"

interface KnownHead {
  readonly id: number
  readonly sequence: number
  readonly open: boolean
}

/** Streams whose heads are remembered; beyond, all are forgotten and looked up again. */
const REMEMBERED = 100_000

/** Rows in one statement, at most: more gain nothing. Smaller ones are powers of two, so that few are prepared. */
const ROWS = 32
const rowsFor = (left: number) => Math.min(ROWS, 2 ** (31 - Math.clz32(left)))

const inserting = (into: string, columns: number, then = "") => {
  const row = `(${Array.from({ length: columns }, () => "?").join()})`
  const texts = new Map<number, string>()
  return (rows: number): string => {
    const text =
      texts.get(rows) ?? `INSERT INTO ${into} VALUES ${Array.from({ length: rows }, () => row).join()}${then}`
    texts.set(rows, text)
    return text
  }
}

const HEAD = "streams (id, name, sequence, open, summary)"
const ON_CONFLICT = " ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, summary = excluded.summary"
const insertEvents = inserting(`events ("offset", stream, sequence, at, event)`, 5)
const insertHeads = inserting(HEAD, 5, `${ON_CONFLICT}, open = excluded.open`)
// Leaves `open` out, so that SQLite leaves the index on it alone.
const updateHeads = inserting(HEAD, 5, ON_CONFLICT)

export const make = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const [last] = yield* sql.unsafe<{ readonly id: number | null; readonly offset: number | null }>(
    `SELECT (SELECT max(id) FROM streams) AS id, (SELECT max("offset") FROM events) AS "offset"`
  )
  let lastId = last?.id ?? 0
  let lastOffset = last?.offset ?? 0
  const known = new Map<Topic, KnownHead>()
  let isSealed = false

  /** Looks up the heads of streams that are not remembered. */
  const learn = Effect.fnUntraced(function* (batch: ReadonlyArray<WaitingAppend>) {
    if (known.size > REMEMBERED) known.clear()
    const names = new Set<Topic>()
    for (const { appends } of batch) for (const { stream } of appends) if (!known.has(stream)) names.add(stream)
    const unknown = [...names]
    for (let index = 0; index < unknown.length;) {
      const some = unknown.slice(index, index + rowsFor(unknown.length - index))
      const found = yield* sql.unsafe<{ name: Topic; id: number; sequence: number; open: number }>(
        `SELECT name, id, sequence, open FROM streams WHERE name IN (${some.map(() => "?").join()})`,
        some
      )
      for (const { id, name, open, sequence } of found) known.set(name, { id, sequence, open: open === 1 })
      index += some.length
    }
  })

  const insert = Effect.fnUntraced(function* (
    statement: (rows: number) => string,
    columns: number,
    values: ReadonlyArray<unknown>
  ) {
    for (let index = 0; index < values.length;) {
      const rows = rowsFor((values.length - index) / columns)
      const end = index + rows * columns
      yield* sql.unsafe(statement(rows), values.slice(index, end)).raw
      index = end
    }
  })

  const write = Effect.fnUntraced(function* (batch: ReadonlyArray<WaitingAppend>) {
    const at = yield* Clock.currentTimeMillis
    yield* learn(batch)
    const heads = new Map<Topic, KnownHead & { readonly summary: string }>()
    const accepted: Array<readonly [WaitingAppend, ReadonlyArray<Recorded>]> = []
    const events: Array<unknown> = []
    const sequenceOf = (stream: Topic) => (heads.get(stream) ?? known.get(stream))?.sequence ?? 0
    let id = lastId
    let offset = lastOffset
    for (const waiting of batch) {
      const plan = planAppend(waiting.appends, sequenceOf, at)
      if (Result.isFailure(plan)) {
        waiting.answer(Effect.die(plan.failure))
        continue
      }
      for (const { open, sequence, stream, summary } of plan.success.heads) {
        heads.set(stream, { id: (heads.get(stream) ?? known.get(stream))?.id ?? ++id, sequence, open, summary })
      }
      for (const [index, { sequence, topic }] of plan.success.recorded.entries()) {
        events.push(++offset, heads.get(topic)?.id, sequence, at, waiting.texts[index])
      }
      accepted.push([waiting, plan.success.recorded])
    }
    if (accepted.length === 0) return

    const changed: Array<unknown> = []
    const same: Array<unknown> = []
    for (const [stream, head] of heads) {
      const rows = known.get(stream)?.open === head.open ? same : changed
      rows.push(head.id, stream, head.sequence, head.open, head.summary)
    }
    yield* sql.withTransaction(
      insert(insertEvents, 5, events).pipe(
        Effect.andThen(insert(insertHeads, 5, changed)),
        Effect.andThen(insert(updateHeads, 5, same))
      )
    )
    lastId = id
    lastOffset = offset
    for (const [stream, head] of heads) known.set(stream, head)
    for (const [waiting, recorded] of accepted) waiting.answer(Effect.succeed(recorded))
  })

  const refuse = (batch: ReadonlyArray<WaitingAppend>, error: SqlError.SqlError): Effect.Effect<void> => {
    known.clear()
    if (isAboutContent(error)) {
      if (batch.length > 1) return Effect.forEach(batch, (one) => commit([one]), { discard: true })
      for (const { answer } of batch) answer(Effect.die(error))
      return Effect.void
    }
    isSealed ||= isSyncFailure(error)
    for (const { answer } of batch) answer(Effect.fail(toStorageError(error)))
    return Effect.void
  }

  /** Answers every append in the batch. */
  const commit = (batch: ReadonlyArray<WaitingAppend>): Effect.Effect<void> => {
    if (isSealed) {
      // Asked again, the system would say that all is well, whatever became of the writes before.
      const detail = "the disk failed to sync, so what it says can no longer be trusted: restart the server"
      for (const { answer } of batch) answer(Effect.fail(new StorageUnavailable({ detail })))
      return Effect.void
    }
    return write(batch).pipe(Effect.catch((error) => refuse(batch, error)))
  }

  return { commit }
})
