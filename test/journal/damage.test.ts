/** What a loss of power and a worn disk leave of a journal's file. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import type { Topic } from "../../services/events/Topic.ts"
import { type Append, Journal } from "../../services/journal/Journal.ts"
import { StorageCorrupt } from "../../services/journal/StorageError.ts"
import { foundationLayer } from "../support/foundation.ts"
import { copy, edit, type Random, randomFrom, reader } from "../support/journalImages.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { sessionTopic, workerTopic } from "../support/topics.ts"

const isLong = process.env["ESPALIER_LONG"] !== undefined
const TORN = isLong ? 10_000 : 500
const FLIPPED = isLong ? 1_000 : 300
const SEED = 20_261

const withJournal = <A, E>(directory: string, use: Effect.Effect<A, E, Journal>) =>
  use.pipe(
    Effect.provide(SqlJournal.layer, { local: true }),
    Effect.provide(Layer.merge(DataDirectory.layer(directory), foundationLayer), { local: true })
  )

const reason = (n: number) => `${n} ${"x".repeat((n * 37) % 900)}`
const events = (from: number, count: number): Append["events"] => {
  const event = (n: number) => ({ _tag: "SessionEnded" as const, reason: reason(n) })
  return [event(from), ...Array.from({ length: count - 1 }, (_, index) => event(from + 1 + index))]
}

const emptied = (directory: string) => {
  for (const file of readdirSync(directory)) rmSync(join(directory, file))
  return directory
}

describe("torn-wal", () => {
  const a = sessionTopic("a")
  const tear = (random: Random, from: number) => (wal: Buffer) => {
    const torn = Buffer.from(wal)
    switch (random.below(3)) {
      case 0:
        return torn.subarray(0, from)
      case 1:
        // The last sectors are garbage.
        for (let index = from; index < torn.length; index++) torn[index] = random.below(256)
        return torn
      default:
        // Of what came after the last sync, some sectors arrived and some did not.
        for (let index = from; index < torn.length; index += 512) {
          if (random.below(2) === 0) torn.fill(0, index, Math.min(index + 512, torn.length))
        }
        return torn
    }
  }

  it.live(
    `${TORN} logs cut or garbled anywhere leave a sound file with all that was synced before, and no part of more`,
    () =>
      Effect.gen(function* () {
        const random = randomFrom(SEED)
        const whole = yield* temporaryDirectory
        const image = yield* temporaryDirectory
        const live = yield* temporaryDirectory
        /** Size of the log, and events acknowledged by then. */
        const synced: Array<readonly [number, number]> = []
        yield* withJournal(
          live,
          Effect.gen(function* () {
            const journal = yield* Journal
            for (let after = 0; after < 400;) {
              const count = 1 + random.below(5)
              yield* journal.append([
                { stream: a, after, events: events(after + 1, count), open: true, summary: `{"n":${after + count}}` }
              ])
              after += count
              synced.push([statSync(join(live, "journal.db-wal")).size, after])
            }
            copy(live, whole)
          })
        )
        const size = synced.at(-1)?.[0] ?? 0
        for (let n = 0; n < TORN; n++) {
          copy(whole, emptied(image))
          // The first sync made the file itself, which nobody loses by a torn log of later.
          const from = (synced[0]?.[0] ?? 0) + random.below(size - (synced[0]?.[0] ?? 0))
          edit(image, "journal.db-wal", tear(random, from))
          const acknowledged = synced.findLast(([size]) => size <= from)?.[1] ?? 0
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { head, read, sqlite } = yield* reader(image)
              assert.deepStrictEqual({ ...sqlite.get("PRAGMA integrity_check") }, { integrity_check: "ok" })
              const sequence = head(a)?.sequence ?? 0
              assert.isAtLeast(sequence, acknowledged, `image ${n}, from byte ${from}`)
              assert.isTrue(
                synced.some(([, after]) => after === sequence),
                "an append is there as a whole or not at all"
              )
              assert.strictEqual(head(a)?.summary, `{"n":${sequence}}`)
              assert.deepStrictEqual(
                read({ stream: a, after: 0 }).map(({ event }) => event),
                [...events(1, sequence)]
              )
            })
          )
        }
      }).pipe(Effect.scoped),
    3_000_000
  )
})

describe("corrupt-page", () => {
  it.live(`${FLIPPED} files with flipped bytes are refused or answer what is true, stream by stream`, () =>
    Effect.gen(function* () {
      const random = randomFrom(SEED)
      const sound = yield* temporaryDirectory
      const image = yield* temporaryDirectory
      const streams = Array.from({ length: 40 }, (_, n) => (n % 4 === 0 ? workerTopic(`${n}`) : sessionTopic(`${n}`)))
      const all = Effect.gen(function* () {
        const journal = yield* Journal
        return yield* Effect.forEach(streams, (stream) =>
          Effect.all([journal.head(stream), journal.read({ stream, after: 0 }), journal.snapshot(stream)])
        )
      })
      yield* withJournal(
        sound,
        Effect.gen(function* () {
          const journal = yield* Journal
          for (const [n, stream] of streams.entries()) {
            yield* journal.append([
              {
                stream,
                after: 0,
                events: events(1, 30 + n),
                open: n % 2 === 0,
                summary: `{"n":${n}}`,
                owner: `ses_${n % 3}`
              }
            ])
            const large = { _tag: "WorkerCompleted" as const, result: "y".repeat(n % 8 === 0 ? 70_000 : 10) }
            yield* journal.append([
              {
                stream,
                after: 30 + n,
                events: [large],
                open: n % 2 === 0,
                summary: `{"m":${n}}`,
                label: "done",
                snapshot: { version: 1, state: `"${"s".repeat(n * 10)}"`, needs: 1 }
              }
            ])
          }
        })
      )
      const truth = yield* withJournal(sound, all)
      const tally = { refused: 0, damaged: 0, right: 0 }
      for (let n = 0; n < FLIPPED; n++) {
        copy(sound, emptied(image))
        edit(image, "journal.db", (bytes) => {
          const flipped = Buffer.from(bytes)
          for (let left = 1 + random.below(3); left > 0; left--) {
            const at = random.below(flipped.length)
            flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8))
          }
          return flipped
        })
        // Every other one is treated as a large file, of which little is looked at when it is opened.
        const options = n % 2 === 0 ? {} : { checkedWhole: 0 }
        const opened = yield* Effect.exit(
          Effect.scoped(
            Effect.gen(function* () {
              const { head, heads, read, snapshot } = yield* reader(image, options)
              let damaged = 0
              const same = (what: string, actual: () => unknown, expected: unknown) => {
                let found: unknown
                try {
                  found = actual()
                } catch (cause) {
                  const isDamage = cause instanceof StorageCorrupt || (cause instanceof Error && "errcode" in cause)
                  if (!isDamage) throw cause
                  damaged++
                  return
                }
                assert.deepStrictEqual(found, expected, `image ${n}: ${what}`)
              }
              streams.forEach((stream: Topic, index) => {
                const [expectedHead, expectedEvents, expectedSnapshot] = truth[index] ?? []
                same(`head of ${stream}`, () => head(stream), expectedHead)
                same(`events of ${stream}`, () => read({ stream, after: 0 }), expectedEvents)
                // Without one, events are replayed: none is as good as the right one.
                same(`snapshot of ${stream}`, () => snapshot(stream) ?? expectedSnapshot, expectedSnapshot)
              })
              same(
                "list",
                () => {
                  const { damaged, found } = heads({ prefix: "", limit: 100 })
                  assert.strictEqual(damaged.length + found.length, streams.length)
                  return found.every((head) =>
                    truth.some(([expected]) => JSON.stringify(expected) === JSON.stringify(head))
                  )
                },
                true
              )
              return damaged
            })
          )
        )
        if (Exit.isSuccess(opened)) tally[opened.value > 0 ? "damaged" : "right"]++
        else {
          const error = yield* Effect.flip(opened)
          assert.include(["StorageCorrupt", "StorageNewer", "StorageUnavailable"], error._tag, String(error))
          tally.refused++
        }
      }
      // All three happen, or the test has missed its mark.
      for (const count of Object.values(tally)) assert.isAbove(count, FLIPPED / 50)
    }).pipe(Effect.scoped)
  )

  it.live("one damaged session is refused by name, and every other one reads, writes and is listed", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const [a, b, c] = [sessionTopic("a"), sessionTopic("b"), sessionTopic("c")]
      const next = (stream: Topic, after: number): Append => ({
        stream,
        after,
        events: events(after + 1, 40),
        open: true,
        summary: "{}"
      })
      yield* withJournal(
        directory,
        Journal.use((journal) => journal.append([next(a, 0), next(b, 0), next(c, 0)]))
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { sqlite } = yield* reader(directory)
          sqlite.run("UPDATE events SET event = replace(event, '17 ', '71 ') WHERE stream = 1")
          sqlite.run("UPDATE streams SET sequence = 39 WHERE name = ?", b)
        })
      )
      yield* withJournal(
        directory,
        Effect.gen(function* () {
          const journal = yield* Journal
          const damaged = yield* Effect.flip(journal.read({ stream: a, after: 0 }))
          assert.strictEqual(damaged._tag, "StorageCorrupt")
          assert.include(damaged.message, `event 17 of ${a} is damaged`)
          assert.strictEqual((yield* journal.read({ stream: a, after: 17 })).length, 23)
          const lost = yield* Effect.flip(journal.read({ stream: b, after: 0 }))
          assert.include(lost.message, `the head of ${b} is damaged`)
          const exits = yield* Effect.forEach([next(b, 39), next(c, 40)], (one) => Effect.exit(journal.append([one])), {
            concurrency: "unbounded"
          })
          assert.deepStrictEqual(exits.map(Exit.isSuccess), [false, true])
          assert.strictEqual((yield* Effect.flip(exits[0] ?? Effect.succeed([])))._tag, "StorageCorrupt")
          const heads = yield* journal.heads({ prefix: "session:", open: true, limit: 10 })
          assert.deepStrictEqual(
            heads.map(({ sequence, stream }) => [stream, sequence]),
            [
              [c, 80],
              [a, 40]
            ]
          )
        })
      )
    }).pipe(Effect.scoped)
  )
})
