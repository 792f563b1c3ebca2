/**
 * `Journal` in one SQLite file of the data directory, safe against power loss.
 *
 * Its writer is a child of the runtime's foundation. Appends wait outside of it, in a bounded queue, so that a writer
 * that crashed finds them when it is started again; reads need no writer.
 */
import { Effect, Layer, References } from "effect"
import { Reactivity } from "effect/reactivity"
import { join } from "node:path"
import type { DurableEvent, Recorded } from "../../services/events/RuntimeEvent.ts"
import type { Topic } from "../../services/events/Topic.ts"
import { DataDirectory } from "../../services/journal/DataDirectory.ts"
import { type Append, Journal, type StreamHead } from "../../services/journal/Journal.ts"
import { StorageCorrupt, type StorageError, StorageUnavailable } from "../../services/journal/StorageError.ts"
import { SessionEvent } from "../../services/session/SessionEvent.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { WorkerEvent } from "../../services/worker/WorkerEvent.ts"
import { AppendQueue, type WaitingAppend } from "./AppendQueue.ts"
import * as AppendWriter from "./AppendWriter.ts"
import * as JournalFile from "./JournalFile.ts"
import { CHUNK } from "./migrations.ts"
import { toStorageError } from "./toStorageError.ts"

/** What may wait for the writer: more than ten thousand sessions write when all of them are restarted at once. */
const WAITING = { events: 262_144, size: 256 * 1024 * 1024 }

/** What one transaction takes: enough to share the sync, and little enough to be over soon. */
const TRANSACTION = { events: 4_096, size: 16 * 1024 * 1024 }

const knownEvents = new Set([...Object.keys(SessionEvent.cases), ...Object.keys(WorkerEvent.cases)])

const isKnownEvent = (value: unknown): value is DurableEvent =>
  typeof value === "object" &&
  value !== null &&
  "_tag" in value &&
  typeof value._tag === "string" &&
  knownEvents.has(value._tag)

interface EventRow {
  readonly sequence: number
  readonly at: number
  readonly event: string
}

interface HeadRow {
  readonly name: Topic
  readonly sequence: number
  readonly open: number
  readonly summary: string
}

/** The events of the stream ?1 with a sequence above ?2 and up to ?3, which lie in the chunks ?4 to ?5 and the tail. */
const READ = `
  WITH places (id, "offset") AS (
    SELECT streams.id, place.value FROM streams
      JOIN chunks ON chunks.stream = streams.id AND chunks.number BETWEEN ?4 AND ?5
      JOIN json_each('[' || chunks.offsets || ']') AS place
      WHERE streams.name = ?1
    UNION ALL
    SELECT streams.id, place.value FROM streams
      JOIN json_each('[' || streams.tail || ']') AS place
      WHERE streams.name = ?1
  )
  SELECT events.sequence, events.at, events.event FROM places
    CROSS JOIN events ON events."offset" = places."offset" AND events.stream = places.id
    WHERE events.sequence > ?2 AND events.sequence <= ?3
    ORDER BY events."offset"`

/** Fails closed: a gap, or an event that this version cannot read, is never skipped. */
const decode = (stream: Topic, after: number, rows: ReadonlyArray<EventRow>) =>
  Effect.suspend((): Effect.Effect<ReadonlyArray<Recorded>, StorageCorrupt> => {
    const found: Array<Recorded> = []
    for (const { at, event, sequence } of rows) {
      const place = `event ${after + found.length + 1} of ${stream}`
      if (sequence !== after + found.length + 1) {
        return Effect.fail(new StorageCorrupt({ detail: `${place} is missing` }))
      }
      let value: unknown
      try {
        value = JSON.parse(event)
      } catch {
        return Effect.fail(new StorageCorrupt({ detail: `${place} cannot be read` }))
      }
      if (!isKnownEvent(value)) {
        const kind = event.slice(0, 60)
        return Effect.fail(
          new StorageCorrupt({ detail: `${place} is of a kind that this version does not know: ${kind}` })
        )
      }
      found.push({ topic: stream, sequence, at, event: value })
    }
    return Effect.succeed(found)
  })

const toHead = ({ name, open, sequence, summary }: HeadRow): StreamHead => ({
  stream: name,
  sequence,
  open: open === 1,
  summary
})

const textsOf = (appends: ReadonlyArray<Append>): ReadonlyArray<string> => {
  const texts: Array<string> = []
  for (const { events } of appends) for (const event of events) texts.push(JSON.stringify(event))
  return texts
}

const toWaiting = (appends: ReadonlyArray<Append>, answer: WaitingAppend["answer"]): WaitingAppend => ({
  appends,
  texts: textsOf(appends),
  answer,
  isGone: false
})

export const make = Effect.fnUntraced(function* (options: JournalFile.Options) {
  const foundation = yield* Foundation
  const sql = yield* JournalFile.open(options)
  const queue = new AppendQueue(WAITING)
  let isClosed = false

  const drain = (writer: { readonly commit: (batch: ReadonlyArray<WaitingAppend>) => Effect.Effect<void> }) =>
    Effect.suspend(() => {
      const batch = queue.take(TRANSACTION)
      return writer.commit(batch).pipe(
        // Whoever was taken is answered, come what may.
        Effect.onError((cause) =>
          Effect.sync(() => {
            for (const { answer } of batch) answer(Effect.failCause(cause))
          })
        )
      )
    }).pipe(
      Effect.uninterruptible,
      // Readers share the connection: a transaction that is not left half-way makes none of them wait.
      Effect.provideService(References.PreventSchedulerYield, true)
    )

  const child: ChildSpec = {
    id: "journal",
    start: Effect.map(AppendWriter.make(sql), (writer) =>
      Effect.forever(Effect.andThen(queue.ready.await, drain(writer)))
    ),
    mailbox: Effect.sync(() => queue.length)
  }
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true
      while (queue.length > 0) {
        for (const { answer } of queue.take(WAITING)) {
          answer(Effect.fail(new StorageUnavailable({ detail: "the journal was closed" })))
        }
      }
    })
  )
  yield* Effect.acquireRelease(
    Effect.mapError(foundation.startChild(child), ({ message }) => new StorageUnavailable({ detail: message })),
    () => Effect.ignore(Effect.andThen(foundation.terminateChild(child.id), foundation.deleteChild(child.id)))
  )

  const query = <A extends object>(
    text: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<ReadonlyArray<A>, StorageError> => Effect.mapError(sql.unsafe<A>(text, params), toStorageError)

  return Journal.of({
    append: (appends) =>
      appends.length === 0
        ? Effect.succeed([])
        : Effect.withFiber((fiber) =>
            Effect.callback((resume) => {
              const waiting = toWaiting(appends, resume)
              const wake = (open: () => void) => fiber.currentDispatcher.scheduleTask(open, 0)
              if (isClosed || !queue.offer(waiting, wake)) {
                const detail = isClosed
                  ? "the journal was closed"
                  : "too many appends are waiting; try again in a moment"
                return resume(Effect.fail(new StorageUnavailable({ detail })))
              }
              return Effect.sync(() => {
                waiting.isGone = true
              })
            })
          ),
    read: ({ after, limit = 1_000, stream }) => {
      const from = Math.max(after, 0)
      const to = from + Math.max(limit, 0)
      return query<EventRow>(READ, [stream, from, to, Math.floor(from / CHUNK), Math.floor((to - 1) / CHUNK)]).pipe(
        Effect.flatMap((rows) => decode(stream, from, rows))
      )
    },
    head: (stream) =>
      query<HeadRow>("SELECT name, sequence, open, summary FROM streams WHERE name = ?", [stream]).pipe(
        Effect.map(([row]) => (row === undefined ? undefined : toHead(row)))
      ),
    heads: ({ before, limit, open, prefix }) => {
      // No name goes on with the last code unit, so this is where the names with the prefix end.
      const end = `${prefix}\uffff`
      const bound = before === undefined || before > end ? end : before
      const which = open === true ? "open = 1 AND" : ""
      return query<HeadRow>(
        `SELECT name, sequence, open, summary FROM streams WHERE ${which} name >= ? AND name < ? ORDER BY name DESC LIMIT ?`,
        [prefix, bound, Math.max(limit, 0)]
      ).pipe(Effect.map((rows) => rows.map(toHead)))
    }
  })
})

export const layerWith = (options?: Omit<JournalFile.Options, "filename">) =>
  Layer.effect(
    Journal,
    Effect.flatMap(DataDirectory, ({ path }) => make({ ...options, filename: join(path, "journal.db") }))
  ).pipe(Layer.provide(Reactivity.layer))

/** The journal of the data directory. */
export const layer = layerWith()
