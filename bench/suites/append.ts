/** Durable appends, acknowledged: power-loss safe, through the group commit. */
import { DatabaseSync } from "node:sqlite"
import { Effect, FileSystem, Layer } from "effect"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import type { Figure } from "../Figure.ts"
import { rate } from "../measure.ts"

const text = "x".repeat(100)
let run = 0

/** `writers` streams, each appending `events` one after the other and waiting for every answer. */
const write = (writers: number, events: number) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const life = run++
    yield* Effect.forEach(
      Array.from({ length: writers }, (_, writer) => writer),
      Effect.fnUntraced(function* (writer) {
        const stream = Topic.ofSession(SessionId.make(`ses_${life}_${writer}`))
        for (let after = 0; after < events; after++) {
          const messageId = MessageId.make(`msg_${after}`)
          yield* journal.append([
            { stream, after, events: [{ _tag: "MessageReceived", messageId, text }], open: false, summary: "{}" }
          ])
        }
      }),
      { concurrency: writers, discard: true }
    )
  })

/** One row and one sync at a time on the bare driver. */
const bare = (directory: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const db = new DatabaseSync(`${directory}/bare.db`)
      db.exec(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE events (id INTEGER PRIMARY KEY, body TEXT)"
      )
      return db
    }),
    (db) => {
      const insert = db.prepare("INSERT INTO events (body) VALUES (?)")
      return rate(
        5_000,
        Effect.sync(() => {
          for (let index = 0; index < 5_000; index++) insert.run(text)
        }),
        3
      )
    },
    (db) => Effect.sync(() => db.close())
  )

export const suite = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()
  const baseline = { name: "node:sqlite, row by row", value: yield* bare(directory) }
  const layer = SqlJournal.layer.pipe(
    Layer.provide(DataDirectory.layer(`${directory}/data`)),
    Layer.provide(RuntimeTree.layer),
    Layer.provide(FiberSupervisor.layer)
  )
  const [many, one] = yield* Effect.gen(function* () {
    const many = yield* rate(1_000 * 50, write(1_000, 50), 3)
    const one = yield* rate(5_000, write(1, 5_000), 3)
    return [many, one] as const
  }).pipe(Effect.provide(layer))
  const figures: ReadonlyArray<Figure> = [
    { name: "durable appends from 1,000 sessions", unit: "/s", value: many, baseline, bar: ">= 150 k/s" },
    { name: "durable appends from one session", unit: "/s", value: one, baseline }
  ]
  return figures
}).pipe(Effect.scoped)
