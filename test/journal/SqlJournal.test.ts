import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, type Scope } from "effect"
import { execFileSync } from "node:child_process"
import { rmSync, statfsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import type { Topic } from "../../services/events/Topic.ts"
import { type Append, Journal } from "../../services/journal/Journal.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { journalContract } from "../contracts/Journal.ts"
import { foundationLayer } from "../support/foundation.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { sessionTopic } from "../support/topics.ts"

const journalIn = <E>(directory: Effect.Effect<string, E, Scope.Scope>, options?: { readonly maxSize?: number }) =>
  SqlJournal.layerWith(options).pipe(
    Layer.provide(Layer.unwrap(Effect.map(directory, DataDirectory.layer))),
    Layer.provideMerge(foundationLayer)
  )

const a = sessionTopic("a")
const append = (stream: Topic, after: number, size = 100): Append => ({
  stream,
  after,
  events: [{ _tag: "SessionEnded", reason: "x".repeat(size) }],
  open: true,
  summary: "{}"
})

/** Appends events of 8 KB until one is refused; tells the refusal and how many were acknowledged. */
const fill = Effect.fnUntraced(function* (from: number) {
  const journal = yield* Journal
  for (let after = from; ; after++) {
    const exit = yield* Effect.exit(journal.append([append(a, after, 8_000)]))
    if (Exit.isFailure(exit)) return { refusal: yield* Effect.flip(exit), after }
  }
})

/** A small file system of its own in memory, gone with the scope. Needs the rights to mount one. */
const smallDisk = Effect.flatMap(temporaryDirectory, (path) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", path])
      return path
    }),
    () => Effect.sync(() => execFileSync("umount", ["-l", path]))
  )
)
const canMount = process.getuid?.() === 0 && process.platform === "linux"

describe("SqlJournal", () => {
  journalContract(journalIn(temporaryDirectory))

  it.live("answers a full store with StorageFull, keeps reading and loses nothing acknowledged", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const { after, refusal } = yield* fill(0)
      assert.strictEqual(refusal._tag, "StorageFull")
      assert.include(refusal.message, "free some space and try again")
      assert.isAbove(after, 20)
      assert.strictEqual((yield* journal.read({ stream: a, after: 0 })).length, after)
      assert.strictEqual((yield* journal.head(a))?.sequence, after)
    }).pipe(Effect.provide(journalIn(temporaryDirectory, { maxSize: 1024 * 1024 })))
  )

  it.live.skipIf(!canMount)("works again by itself once a full disk has room", () =>
    Effect.gen(function* () {
      const disk = yield* smallDisk
      const ballast = join(disk, "ballast")
      writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024))
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        const first = yield* fill(0)
        assert.strictEqual(first.refusal._tag, "StorageFull")
        assert.isBelow(statfsSync(disk).bfree, 10)
        assert.strictEqual((yield* journal.read({ stream: a, after: 0 })).length, first.after)
        rmSync(ballast)
        const second = yield* fill(first.after)
        assert.isAbove(second.after, first.after + 20)
        assert.strictEqual((yield* journal.read({ stream: a, after: 0 })).length, second.after)
      }).pipe(Effect.provide(journalIn(Effect.succeed(disk))))
    }).pipe(Effect.scoped)
  )

  it.live("appends that wait when the writer crashes are written by the next one", () =>
    Effect.gen(function* () {
      const foundation = yield* Foundation
      const journal = yield* Journal
      yield* journal.append([append(a, 0)])
      yield* foundation.terminateChild("journal")
      const waiting = yield* Effect.forkChild(journal.append([append(a, 1)]), { startImmediately: true })
      const given = yield* Effect.forkChild(journal.append([append(a, 2)]), { startImmediately: true })
      assert.strictEqual((yield* journal.read({ stream: a, after: 0 })).length, 1)
      const spec = yield* foundation.getChildSpec("journal")
      assert.strictEqual(yield* spec.mailbox ?? Effect.succeed(0), 2)
      yield* Fiber.interrupt(given)
      yield* foundation.restartChild("journal")
      const [recorded] = yield* Fiber.join(waiting)
      assert.strictEqual(recorded?.sequence, 2)
      // The one whose caller had gone was not written.
      assert.strictEqual((yield* journal.head(a))?.sequence, 2)
    }).pipe(Effect.provide(journalIn(temporaryDirectory)))
  )

  it.live("more waiting appends than it holds are refused at once, and those that wait are written", () =>
    Effect.gen(function* () {
      const foundation = yield* Foundation
      const journal = yield* Journal
      yield* foundation.terminateChild("journal")
      const [event] = append(a, 0, 10).events
      const many = (stream: Topic): Append => ({
        ...append(stream, 0),
        events: [event, ...Array.from({ length: 999 }, () => event)]
      })
      const streams = Array.from({ length: 270 }, (_, index) => sessionTopic(`s${index}`))
      const fibers = yield* Effect.forEach(streams, (stream) =>
        Effect.forkChild(Effect.exit(journal.append([many(stream)])), { startImmediately: true })
      )
      yield* foundation.restartChild("journal")
      const exits = yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual(
        exits.map((exit) => Exit.isSuccess(exit)),
        streams.map((_, index) => index < 262)
      )
      const refusal = yield* Effect.flip(exits[269] ?? Effect.succeed([]))
      assert.strictEqual(refusal._tag, "StorageUnavailable")
      assert.include(refusal.message, "too many appends are waiting")
    }).pipe(Effect.provide(journalIn(temporaryDirectory)))
  )

  it.live("a page of large events ends once it is large, with at least one, and the next goes on after it", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const stream = sessionTopic("a")
      // Ten inline and one beside, over and over.
      const lengths = Array.from({ length: 44 }, (_, n) => (n % 11 === 10 ? 200_000 : 10_000))
      for (const [after, length] of lengths.entries()) {
        const event = { _tag: "SessionEnded" as const, reason: "x".repeat(length) }
        yield* journal.append([{ stream, after, events: [event], open: true, summary: "{}" }])
      }
      const pages: Array<number> = []
      let after = 0
      while (after < lengths.length) {
        const found = yield* journal.read({ stream, after, limit: 256, size: 50_000 })
        assert.deepStrictEqual(
          found.map(({ sequence }) => sequence),
          found.map((_, index) => after + 1 + index)
        )
        pages.push(found.length)
        after += found.length
      }
      assert.isTrue(
        pages.every((count) => count >= 1 && count <= 5),
        pages.join()
      )
      assert.isAbove(pages.length, 8)
      assert.strictEqual((yield* journal.read({ stream, after: 0, limit: 256 })).length, lengths.length)
    }).pipe(Effect.provide(journalIn(temporaryDirectory)))
  )

  it.live("an append whose row the store refuses fails alone", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        // Someone has taken the place where the store's next stream belongs.
        const meddler = new DatabaseSync(join(directory, "journal.db"))
        meddler.exec("INSERT INTO chunks (stream, number, offsets) VALUES (1, 0, '7')")
        meddler.close()
        const [event] = append(a, 0).events
        const full: Append = { ...append(a, 0), events: [event, ...Array.from({ length: 31 }, () => event)] }
        const others = Array.from({ length: 10 }, (_, index) => append(sessionTopic(`o${index}`), 0))
        const exits = yield* Effect.forEach([full, ...others], (one) => Effect.exit(journal.append([one])), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(exits.map(Exit.isSuccess), [false, ...others.map(() => true)])
        assert.strictEqual(yield* journal.head(a), undefined)
      }).pipe(Effect.provide(journalIn(Effect.succeed(directory))))
    }).pipe(Effect.scoped)
  )
})
