/** Disks that refuse, clocks that jump and loops that stall: what the journal does about them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { chmodSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import type { Step } from "../../layers/journal/AppendWriter.ts"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { type Append, Journal } from "../../services/journal/Journal.ts"
import { foundationLayer } from "../support/foundation.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { sessionTopic } from "../support/topics.ts"

const a = sessionTopic("a")
const append = (after: number, stream = a): Append => ({
  stream,
  after,
  events: [{ _tag: "SessionEnded", reason: `${after + 1}` }],
  open: true,
  summary: "{}"
})

const withJournal = <A, E>(directory: string, use: Effect.Effect<A, E, Journal>, onStep?: (step: Step) => void) =>
  use.pipe(
    Effect.provide(SqlJournal.layerWith({ onStep }), { local: true }),
    Effect.provide(Layer.merge(DataDirectory.layer(directory), foundationLayer), { local: true })
  )

const program = fileURLToPath(new URL("../support/appending.ts", import.meta.url))
const isRoot = process.getuid?.() === 0 && process.platform === "linux"
const canTrace = spawnSync("strace", ["-f", "-e", "trace=none", "true"]).status === 0
const canDropRights = isRoot && spawnSync("setpriv", ["--version"]).status === 0

/** What the program printed, by the first word of each line. */
const run = (command: string, args: ReadonlyArray<string>) => {
  const { stdout } = spawnSync(command, args, { encoding: "utf8", timeout: 60_000 })
  const lines = stdout.trim().split("\n")
  return {
    stdout,
    acknowledged: lines.filter((line) => line.startsWith("ack ")).length,
    refusals: lines.filter((line) => line.startsWith("refused ")),
    read: Number(/read (\d+)/.exec(stdout)?.[1])
  }
}

const fingerprint = (directory: string) =>
  readdirSync(directory)
    .filter((file) => file.startsWith("journal"))
    .map((file) =>
      createHash("sha256")
        .update(readFileSync(join(directory, file)))
        .digest("hex")
    )

const written = (directory: string, count: number) =>
  withJournal(
    directory,
    Effect.gen(function* () {
      const journal = yield* Journal
      for (let after = 0; after < count; after++) yield* journal.append([append(after)])
    })
  )

const reasons = (count: number) => Array.from({ length: count }, (_, n) => `${n + 1}`)

const storedReasons = Effect.gen(function* () {
  const found = yield* (yield* Journal).read({ stream: a, after: 0 })
  return found.map(({ event }) => (event._tag === "SessionEnded" ? event.reason : ""))
})

describe("fsync-fails", () => {
  it.live("a sync that fails acknowledges nothing, and nothing is acknowledged after it until a restart", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      let isFailing = false
      const fail = (step: Step) => {
        if (!isFailing || step !== "before commit") return
        isFailing = false
        throw Object.assign(new Error("disk I/O error"), { errcode: 1034 })
      }
      yield* withJournal(
        directory,
        Effect.gen(function* () {
          const journal = yield* Journal
          yield* journal.append([append(0)])
          isFailing = true
          const together = yield* Effect.forEach(
            [append(1), append(0, sessionTopic("b"))],
            (one) => Effect.exit(journal.append([one])),
            { concurrency: 2 }
          )
          assert.deepStrictEqual(together.map(Exit.isSuccess), [false, false])
          const later = yield* Effect.flip(journal.append([append(1)]))
          assert.strictEqual(later._tag, "StorageUnavailable")
          assert.include(later.message, "the disk failed to sync")
          const upkeep = yield* Effect.flip(
            journal.compact({ stream: a, before: 1 }).pipe(Effect.andThen(journal.append([append(1)])))
          )
          assert.strictEqual(upkeep._tag, "StorageUnavailable")
          assert.deepStrictEqual(yield* storedReasons, ["1"])
        }),
        fail
      )
      yield* withJournal(
        directory,
        Effect.gen(function* () {
          yield* (yield* Journal).append([append(1)])
          assert.deepStrictEqual(yield* storedReasons, ["1", "2"])
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live.skipIf(!canTrace)("so it is when it is the system that says so", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const inject = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=30"]
      const { acknowledged, read, refusals } = run("strace", [
        "-f",
        "-o",
        "/dev/null",
        ...inject,
        process.execPath,
        program,
        directory
      ])
      assert.isAbove(acknowledged, 5)
      assert.deepStrictEqual(refusals, ["refused StorageUnavailable", "refused StorageUnavailable"])
      assert.strictEqual(read, acknowledged)
      yield* withJournal(
        directory,
        Effect.gen(function* () {
          const found = yield* storedReasons
          assert.isAtLeast(found.length, acknowledged)
          assert.deepStrictEqual(found, reasons(found.length))
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("disk-full", () => {
  it.live.skipIf(!canTrace)(
    "a write that finds no room is refused as such, and the next one works when there is room",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        // Once, somewhere in the midst; afterwards there is room again.
        const inject = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC:when=200"]
        const { acknowledged, read, refusals } = run("strace", [
          "-f",
          "-o",
          "/dev/null",
          ...inject,
          process.execPath,
          program,
          directory
        ])
        assert.deepStrictEqual(refusals, ["refused StorageFull"])
        assert.strictEqual(acknowledged, 500)
        assert.strictEqual(read, acknowledged)
      }).pipe(Effect.scoped)
  )
})

describe("readonly-disk", () => {
  it.live.skipIf(!isRoot)("is refused by a sentence at once, and nothing on it changes", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.flatMap(temporaryDirectory, (path) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", path])
            return path
          }),
          () => Effect.sync(() => execFileSync("umount", ["-l", path]))
        )
      )
      yield* written(directory, 5)
      const before = fingerprint(directory)
      execFileSync("mount", ["-o", "remount,ro", directory])
      const refusal = yield* Effect.flip(withJournal(directory, storedReasons))
      assert.strictEqual(refusal._tag, "StorageUnavailable")
      assert.include(refusal.message, directory)
      assert.deepStrictEqual(fingerprint(directory), before)
    }).pipe(Effect.scoped)
  )
})

describe("wrong-owner", () => {
  it.live.skipIf(!canDropRights)("somebody else's data is refused by a sentence at once, and stays as it is", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* written(directory, 5)
      const before = fingerprint(directory)
      const asNobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", process.execPath, program, directory]
      const closed = run("setpriv", asNobody)
      assert.include(closed.stdout, "not opened StorageUnavailable")
      assert.include(closed.stdout, `the data directory ${directory} cannot be made or written: EACCES`)
      // Also where the directory lets others in.
      chmodSync(directory, 0o777)
      const open = run("setpriv", asNobody)
      assert.match(open.stdout, /not opened Storage(Unavailable|Corrupt)/)
      assert.strictEqual(open.acknowledged, 0)
      assert.deepStrictEqual(fingerprint(directory), before)
    }).pipe(Effect.scoped)
  )
})

describe("db-locked", () => {
  it.live("while another program has the file locked, appends are refused, reads go on, and it works again after", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withJournal(
        directory,
        Effect.gen(function* () {
          const journal = yield* Journal
          yield* journal.append([append(0)])
          const other = new DatabaseSync(join(directory, "journal.db"))
          other.exec("BEGIN IMMEDIATE")
          const refusal = yield* Effect.flip(journal.append([append(1)]))
          assert.strictEqual(refusal._tag, "StorageUnavailable")
          assert.include(refusal.message, "locked")
          assert.deepStrictEqual(yield* storedReasons, ["1"])
          other.exec("ROLLBACK")
          other.close()
          yield* journal.append([append(1)])
          assert.deepStrictEqual(yield* storedReasons, ["1", "2"])
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("clock-jump", () => {
  it.effect("events keep the order of their sequence, however the wall clock jumps between and across restarts", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const hour = 3_600_000
      const jumps = [0, -hour, hour, 10 * 365 * 24 * hour, -1, 0, 1, -hour]
      const base = 1_800_000_000_000
      for (const [index, jump] of jumps.entries()) {
        yield* TestClock.setTime(base + jump)
        yield* withJournal(
          directory,
          Effect.gen(function* () {
            const journal = yield* Journal
            for (let n = 0; n < 10; n++) yield* journal.append([append(index * 10 + n)])
            const found = yield* journal.read({ stream: a, after: index * 10 })
            assert.isTrue(found.every(({ at }) => at === base + jump))
          })
        )
      }
      assert.deepStrictEqual(yield* withJournal(directory, storedReasons), reasons(jumps.length * 10))
    }).pipe(Effect.scoped)
  )
})

describe("event-loop-stall", () => {
  it.live("appends that wait while the loop is busy are all acknowledged after it, in order", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withJournal(
        directory,
        Effect.gen(function* () {
          const journal = yield* Journal
          const writers = Array.from({ length: 50 }, (_, n) => sessionTopic(`w${n}`))
          const fibers = yield* Effect.forEach(writers, (stream) =>
            Effect.forkChild(
              Effect.forEach(reasons(10).keys(), (after) => journal.append([append(after, stream)])),
              { startImmediately: true }
            )
          )
          for (let stalls = 0; stalls < 3; stalls++) {
            const until = performance.now() + 200
            while (performance.now() < until);
            yield* Effect.yieldNow
          }
          const acknowledged = yield* Fiber.joinAll(fibers)
          for (const [n, stream] of writers.entries()) {
            const found = yield* journal.read({ stream, after: 0 })
            assert.deepStrictEqual(found, acknowledged[n]?.flat())
            assert.strictEqual(found.length, 10)
          }
        })
      )
    }).pipe(Effect.scoped)
  )
})
