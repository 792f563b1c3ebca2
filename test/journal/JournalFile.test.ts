import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { createHash } from "node:crypto"
import { closeSync, copyFileSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { APPLICATION_ID, migrations } from "../../layers/journal/migrations.ts"
import { type Append, Journal } from "../../services/journal/Journal.ts"
import { CallId } from "../../services/session/SessionId.ts"
import { foundationLayer } from "../support/foundation.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { sessionTopic, workerTopic } from "../support/topics.ts"

const a = sessionTopic("a")
const fact = (n: number) => ({ _tag: "SessionEnded" as const, reason: `${n} ${"x".repeat(500)}` })
const append = (after: number, count = 1): Append => ({
  stream: a,
  after,
  events: [fact(after + 1), ...Array.from({ length: count - 1 }, (_, index) => fact(after + 2 + index))],
  open: true,
  summary: "{}"
})

/** The journal of a directory, opened for one effect. */
const withJournal = <A, E>(directory: string, use: Effect.Effect<A, E, Journal>) =>
  use.pipe(
    Effect.provide(SqlJournal.layer, { local: true }),
    Effect.provide(Layer.merge(DataDirectory.layer(directory), foundationLayer), { local: true })
  )

const written = (directory: string, count: number) =>
  withJournal(
    directory,
    Journal.use((journal) => journal.append([append(0, count)]))
  )

/** Every file of the journal with its contents' hash, but for SQLite's index of the log, which holds nothing of its own. */
const fingerprint = (directory: string) =>
  readdirSync(directory)
    .filter((file) => file.startsWith("journal") && !file.endsWith("-shm"))
    .toSorted()
    .map((file) => [
      file,
      createHash("sha256")
        .update(readFileSync(join(directory, file)))
        .digest("hex")
    ])

const refused = Effect.fnUntraced(function* (directory: string) {
  const before = fingerprint(directory)
  const refusal = yield* Effect.flip(
    withJournal(
      directory,
      Journal.use((journal) => journal.head(a))
    )
  )
  assert.deepStrictEqual(fingerprint(directory), before)
  return refusal
})

describe("a journal's file", () => {
  it.live("is read by the next process, whose events go on from there", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* written(directory, 100)
      yield* withJournal(
        directory,
        Effect.gen(function* () {
          const journal = yield* Journal
          yield* journal.append([append(100, 30)])
          const events = yield* journal.read({ stream: a, after: 0 })
          assert.deepStrictEqual(
            events.map(({ event }) => event),
            Array.from({ length: 130 }, (_, n) => fact(n + 1))
          )
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("of a newer version is refused and left as it is, also when its last writes are still in its log", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* written(directory, 3)
      const database = new DatabaseSync(join(directory, "journal.db"))
      database.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA user_version = 9")
      // As a crash leaves it: the log beside the file, nobody at work.
      const crashed = yield* temporaryDirectory
      for (const file of ["journal.db", "journal.db-wal"]) copyFileSync(join(directory, file), join(crashed, file))
      database.close()

      const expected = { _tag: "StorageNewer" as const, found: 9, supported: 2 }
      assert.deepInclude(yield* refused(directory), expected)
      assert.deepInclude(yield* refused(crashed), expected)
    }).pipe(Effect.scoped)
  )

  it.live("that is no database, or another program's, is refused and left as it is", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      writeFileSync(join(directory, "journal.db"), "not a database, but long enough to look at".repeat(100))
      const text = yield* refused(directory)
      assert.strictEqual(text._tag, "StorageCorrupt")
      assert.include(text.message, "restore a backup or start with another data directory")

      const other = yield* temporaryDirectory
      const database = new DatabaseSync(join(other, "journal.db"))
      database.exec("CREATE TABLE bookmarks (url TEXT)")
      database.close()
      const foreign = yield* refused(other)
      assert.strictEqual(foreign._tag, "StorageCorrupt")
      assert.include(foreign.message, "a database of another program")
    }).pipe(Effect.scoped)
  )

  it.live("with a damaged page is refused and left as it is", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* written(directory, 1_000)
      const file = openSync(join(directory, "journal.db"), "r+")
      writeSync(file, Buffer.alloc(4_096, 0xa5), 0, 4_096, 20 * 8_192)
      closeSync(file)
      const refusal = yield* refused(directory)
      assert.strictEqual(refusal._tag, "StorageCorrupt")
    }).pipe(Effect.scoped)
  )

  it.live("with events that this version cannot read fails their reading, and theirs alone", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* written(directory, 3)
      const database = new DatabaseSync(join(directory, "journal.db"))
      database.exec(`UPDATE events SET event = '{"_tag":"SessionDreamt"}', crc = NULL WHERE sequence = 2`)
      database.close()
      yield* withJournal(
        directory,
        Effect.gen(function* () {
          const journal = yield* Journal
          const future = yield* Effect.flip(journal.read({ stream: a, after: 0 }))
          assert.strictEqual(future._tag, "StorageCorrupt")
          assert.include(future.message, `event 2 of ${a} is of a kind that this version does not know`)
          assert.strictEqual((yield* journal.read({ stream: a, after: 2 })).length, 1)
        })
      )
      const again = new DatabaseSync(join(directory, "journal.db"))
      again.exec("DELETE FROM events WHERE sequence = 2")
      again.close()
      yield* withJournal(
        directory,
        Effect.gen(function* () {
          const gap = yield* Effect.flip((yield* Journal).read({ stream: a, after: 0 }))
          assert.include(gap.message, `event 2 of ${a} is missing`)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("of the first version is brought up to date: its events are read and its workers are found by session", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const database = new DatabaseSync(join(directory, "journal.db"))
      for (const statement of migrations[0] ?? []) database.exec(statement)
      database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = 1`)
      const addStream = database.prepare("INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?)")
      const addEvent = database.prepare("INSERT INTO events VALUES (?, ?, ?, ?, ?)")
      const worker = workerTopic("w")
      const offsets = Array.from({ length: 40 }, (_, index) => index + 1)
      addStream.run(1, a, 40, 1, offsets.slice(32).join(), "{}")
      database.prepare("INSERT INTO chunks VALUES (1, 0, ?)").run(offsets.slice(0, 32).join())
      for (const n of offsets) addEvent.run(n, 1, n, 7, JSON.stringify(fact(n)))
      addStream.run(2, worker, 1, 0, "41", JSON.stringify({ sessionId: "ses_a", status: "failed" }))
      addEvent.run(41, 2, 1, 7, `{"_tag":"WorkerCancelled","reason":""}`)
      database.close()

      yield* withJournal(
        directory,
        Effect.gen(function* () {
          const journal = yield* Journal
          const [head] = yield* journal.heads({ prefix: "worker:", owner: "ses_a", label: "failed", limit: 10 })
          assert.strictEqual(head?.stream, worker)
          yield* journal.append([append(40, 30)])
          const events = yield* journal.read({ stream: a, after: 0 })
          assert.deepStrictEqual(
            events.map(({ event }) => event),
            Array.from({ length: 70 }, (_, n) => fact(n + 1))
          )
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("has a large value once, however many events tell of it, and not at all when none is left", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const result = "x".repeat(500_000)
      const callId = CallId.make("call_1")
      const [worker, other] = [workerTopic("w"), workerTopic("v")]
      const end = { after: 0, open: false, summary: "{}" }
      yield* withJournal(
        directory,
        Journal.use((journal) =>
          journal.append([
            { ...end, stream: worker, events: [{ _tag: "WorkerCompleted", result }] },
            { ...end, stream: other, events: [{ _tag: "WorkerCompleted", result: [result] }] },
            {
              ...end,
              stream: a,
              events: [{ _tag: "ToolCallSettled", callId, outcome: { _tag: "ToolCompleted", result } }]
            }
          ])
        )
      )
      const blobs = () => {
        const database = new DatabaseSync(join(directory, "journal.db"), { readOnly: true })
        const row = database.prepare(
          "SELECT (SELECT count(*) FROM blobs) AS n, max(length(event)) AS longest FROM events"
        )
        const counted = { ...row.get() }
        database.close()
        return counted
      }
      assert.strictEqual(blobs()["n"], 2)
      assert.isBelow(Number(blobs()["longest"]), 1_000)
      yield* withJournal(
        directory,
        Effect.gen(function* () {
          const journal = yield* Journal
          for (const stream of [worker, other]) yield* journal.remove({ stream, sequence: 1 })
        })
      )
      assert.strictEqual(blobs()["n"], 1)
      yield* withJournal(
        directory,
        Journal.use((journal) => journal.remove({ stream: a, sequence: 1 }))
      )
      assert.strictEqual(blobs()["n"], 0)
    }).pipe(Effect.scoped)
  )
})
