/**
 * `Journal` in one SQLite file of the data directory, safe against power loss.
 *
 * Its writer is a child of the runtime's foundation. Appends wait outside of it, in a bounded queue, so that a writer
 * that crashed finds them when it is started again; reads need no writer.
 */
import { Clock, Effect, Layer } from "effect"
import { join } from "node:path"
import { DataDirectory } from "../../services/journal/DataDirectory.ts"
import { type Append, Journal } from "../../services/journal/Journal.ts"
import { type StorageError, StorageUnavailable } from "../../services/journal/StorageError.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { AppendQueue, type WaitingAppend } from "./AppendQueue.ts"
import * as AppendWriter from "./AppendWriter.ts"
import * as Compactor from "./Compactor.ts"
import * as EventText from "./EventText.ts"
import { Holds } from "./Holds.ts"
import * as JournalFile from "./JournalFile.ts"
import * as JournalReader from "./JournalReader.ts"
import { toStorageError } from "./toStorageError.ts"

export interface Options extends JournalFile.Options, AppendWriter.Options {}

/** What may wait for the writer: more than ten thousand sessions write when all of them are restarted at once. */
const WAITING = { events: 262_144, size: 256 * 1024 * 1024 }

/** What one transaction takes: enough to share the sync, and little enough to be over soon. */
const TRANSACTION = { events: 4_096, size: 16 * 1024 * 1024 }

/** Damaged streams that are told of once each. */
const REPORTED = 1_000

type Chore = (writer: AppendWriter.AppendWriter) => void

const textsOf = (appends: ReadonlyArray<Append>): ReadonlyArray<EventText.EventText> => {
  const texts: Array<EventText.EventText> = []
  for (const { events } of appends) for (const event of events) texts.push(EventText.encode(event))
  return texts
}

const toWaiting = (appends: ReadonlyArray<Append>, answer: WaitingAppend["answer"]): WaitingAppend => ({
  appends,
  texts: textsOf(appends),
  answer,
  isGone: false
})

const closed = new StorageUnavailable({ detail: "the journal was closed" })
const crowded = new StorageUnavailable({ detail: "too many appends are waiting; try again in a moment" })

export const make = Effect.fnUntraced(function* (options: Options) {
  const foundation = yield* Foundation
  const clock = yield* Clock.Clock
  const sqlite = yield* JournalFile.open(options)
  const reader = JournalReader.make(sqlite)
  const holds = new Holds()
  const compactor = Compactor.make(sqlite, reader, holds)
  const queue = new AppendQueue<Chore>(WAITING)
  const reported = new Set<string>()
  let isClosed = false

  /** One batch and one chore. It runs in one go, so nobody sees a transaction half done, nor a batch unanswered. */
  const drain = (writer: AppendWriter.AppendWriter) =>
    Effect.sync(() => {
      queue.takeChore()?.(writer)
      const batch = queue.take(TRANSACTION)
      if (batch.length === 0) return
      try {
        writer.commit(batch)
      } catch (cause) {
        for (const { answer } of batch) answer(Effect.die(cause))
        throw cause
      }
    })

  const child: ChildSpec = {
    id: "journal",
    start: Effect.map(
      Effect.try({
        try: () => AppendWriter.make(sqlite, () => clock.currentTimeMillisUnsafe(), options),
        catch: toStorageError
      }),
      (writer) => Effect.forever(Effect.andThen(queue.ready.await, drain(writer)))
    ),
    mailbox: Effect.sync(() => queue.length)
  }
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true
      while (queue.length > 0) for (const { answer } of queue.take(WAITING)) answer(Effect.fail(closed))
    })
  )
  yield* Effect.acquireRelease(
    Effect.mapError(foundation.startChild(child), ({ message }) => new StorageUnavailable({ detail: message })),
    () => Effect.ignore(Effect.andThen(foundation.terminateChild(child.id), foundation.deleteChild(child.id)))
  )

  const reading = <A>(read: () => A): Effect.Effect<A, StorageError> => Effect.try({ try: read, catch: toStorageError })

  /** Has the writer do it, step by step, with appends in between. */
  const byWriter = <A>(
    step: (writer: AppendWriter.AppendWriter) => Compactor.Progress<A>
  ): Effect.Effect<A, StorageError> =>
    Effect.callback<Compactor.Progress<A>, StorageError>((resume) => {
      let isGone = false
      const chore: Chore = (writer) => {
        if (!isGone) resume(reading(() => step(writer)))
      }
      if (isClosed || !queue.offerChore(chore)) {
        resume(Effect.fail(isClosed ? closed : crowded))
        return undefined
      }
      return Effect.sync(() => {
        isGone = true
      })
    }).pipe(Effect.flatMap(({ isMore, value }) => (isMore ? byWriter(step) : Effect.succeed(value))))

  const report = (damaged: ReadonlyArray<string>) => {
    const unreported = damaged.filter((stream) => reported.size < REPORTED && !reported.has(stream))
    for (const stream of unreported) reported.add(stream)
    return Effect.forEach(unreported, (stream) => Effect.logError(`the head of ${stream} is damaged; it is left out`), {
      discard: true
    })
  }

  return Journal.of({
    append: (appends) =>
      appends.length === 0
        ? Effect.succeed([])
        : Effect.withFiber((fiber) =>
            Effect.callback((resume) => {
              const waiting = toWaiting(appends, resume)
              const wake = (open: () => void) => fiber.currentDispatcher.scheduleTask(open, 0)
              if (isClosed || !queue.offer(waiting, wake)) return resume(Effect.fail(isClosed ? closed : crowded))
              return Effect.sync(() => {
                waiting.isGone = true
              })
            })
          ),
    read: (options) => reading(() => reader.read(options)),
    head: (stream) => reading(() => reader.head(stream)),
    heads: (options) =>
      Effect.flatMap(
        reading(() => reader.heads(options)),
        ({ damaged, found }) => (damaged.length === 0 ? Effect.succeed(found) : Effect.as(report(damaged), found))
      ),
    snapshot: (stream) => reading(() => reader.snapshot(stream)),
    hold: holds.hold,
    compact: (options) => byWriter((writer) => compactor.compactSome(writer, options)),
    remove: (options) => byWriter((writer) => compactor.removeSome(writer, options))
  })
})

export const layerWith = (options?: Omit<Options, "filename">) =>
  Layer.effect(
    Journal,
    Effect.flatMap(DataDirectory, ({ path }) => make({ ...options, filename: join(path, "journal.db") }))
  )

/** The journal of the data directory. */
export const layer = layerWith()
