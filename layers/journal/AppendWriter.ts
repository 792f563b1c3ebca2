/**
 * The one writer of a journal's file: appends that arrived together go into one transaction and share its sync, and
 * each caller hears only after that.
 *
 * A failing store fails everyone in the transaction, and the next one tries again by itself. What lies in one append
 * alone is kept from the others: a second writer is seen before anything is written, and a row that the store refuses
 * makes the transaction be repeated append by append.
 */
import { Clock, Effect, Option, Result } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import type { Topic } from "../../services/events/Topic.ts"
import { planAppend } from "../../services/journal/planAppend.ts"
import { StorageUnavailable } from "../../services/journal/StorageError.ts"
import type { WaitingAppend } from "./AppendQueue.ts"
import { CHUNK } from "./migrations.ts"
import { isAboutContent, isSyncFailure, toStorageError } from "./toStorageError.ts"

interface KnownHead {
  readonly id: number
  readonly sequence: number
  readonly open: boolean
  readonly tail: string
}

/** Streams whose heads are remembered; beyond, all are forgotten and looked up again. */
const REMEMBERED = 50_000

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

/** Statements for all rows, whose values lie one after the other. */
const inserts = (textFor: (rows: number) => string, values: ReadonlyArray<unknown>, columns: number) => {
  const statements: Array<{ readonly text: string; readonly values: ReadonlyArray<unknown> }> = []
  for (let index = 0; index < values.length;) {
    const rows = rowsFor((values.length - index) / columns)
    const end = index + rows * columns
    statements.push({ text: textFor(rows), values: values.slice(index, end) })
    index = end
  }
  return statements
}

const HEAD = "streams (id, name, sequence, open, tail, summary)"
const ON_CONFLICT =
  " ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, tail = excluded.tail, summary = excluded.summary"
const insertEvents = inserting(`events ("offset", stream, sequence, at, event)`, 5)
const insertChunks = inserting("chunks (stream, number, offsets)", 3)
const insertHeads = inserting(HEAD, 6, `${ON_CONFLICT}, open = excluded.open`)
// Leaves `open` out, so that SQLite leaves the index on it alone.
const updateHeads = inserting(HEAD, 6, ON_CONFLICT)

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
      const found = yield* sql.unsafe<{ name: Topic; id: number; sequence: number; open: number; tail: string }>(
        `SELECT name, id, sequence, open, tail FROM streams WHERE name IN (${some.map(() => "?").join()})`,
        some
      )
      for (const { name, open, ...head } of found) known.set(name, { ...head, open: open === 1 })
      index += some.length
    }
  })

  const write = Effect.fnUntraced(function* (batch: ReadonlyArray<WaitingAppend>) {
    const at = yield* Clock.currentTimeMillis
    yield* learn(batch)
    const heads = new Map<Topic, KnownHead & { readonly summary: string }>()
    const accepted: Array<readonly [WaitingAppend, ReadonlyArray<Recorded>]> = []
    const rows: Array<unknown> = []
    const chunks: Array<unknown> = []
    const sequenceOf = (stream: Topic) => (heads.get(stream) ?? known.get(stream))?.sequence ?? 0
    let streamId = lastId
    let offset = lastOffset
    for (const waiting of batch) {
      const plan = planAppend(waiting.appends, sequenceOf, at)
      if (Result.isFailure(plan)) {
        waiting.answer(Effect.die(plan.failure))
        continue
      }
      let next = 0
      for (const { events, open, stream, summary } of waiting.appends) {
        const head = heads.get(stream) ?? known.get(stream)
        const id = head?.id ?? ++streamId
        let sequence = head?.sequence ?? 0
        let tail = head?.tail ?? ""
        for (let left = events.length; left > 0; left--) {
          rows.push(++offset, id, ++sequence, at, waiting.texts[next++])
          tail = tail === "" ? `${offset}` : `${tail},${offset}`
          if (sequence % CHUNK === 0) {
            chunks.push(id, sequence / CHUNK - 1, tail)
            tail = ""
          }
        }
        heads.set(stream, { id, sequence, tail, open, summary })
      }
      accepted.push([waiting, plan.success.recorded])
    }
    if (accepted.length === 0) return

    const changed: Array<unknown> = []
    const same: Array<unknown> = []
    for (const [stream, head] of heads) {
      const values = known.get(stream)?.open === head.open ? same : changed
      values.push(head.id, stream, head.sequence, head.open, head.tail, head.summary)
    }
    const statements = [
      ...inserts(insertEvents, rows, 5),
      ...inserts(insertChunks, chunks, 3),
      ...inserts(insertHeads, changed, 6),
      ...inserts(updateHeads, same, 6)
    ]
    yield* sql.withTransaction(
      Effect.flatMap(Effect.serviceOption(sql.transactionService), (transaction) =>
        Effect.forEach(
          statements,
          ({ text, values }) =>
            // On the connection itself: a span for each statement would cost as much as the statement.
            Option.isSome(transaction)
              ? transaction.value[0].executeRaw(text, values)
              : Effect.die(new Error("a transaction without a connection")),
          { discard: true }
        )
      )
    )
    lastId = streamId
    lastOffset = offset
    for (const [stream, { id, open, sequence, tail }] of heads) known.set(stream, { id, sequence, open, tail })
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
