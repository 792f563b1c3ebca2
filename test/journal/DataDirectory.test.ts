import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { foundationLayer } from "../support/foundation.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { sessionTopic } from "../support/topics.ts"

const program = fileURLToPath(new URL("../support/holding-directory.ts", import.meta.url))

/** Another process that holds the directory. */
const holder = (directory: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, [program, directory], { stdio: ["pipe", "pipe", "inherit"] })
      await once(child.stdout, "data")
      return child
    }),
    (child) =>
      Effect.promise(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const ended = once(child, "exit")
        child.kill("SIGKILL")
        await ended
      })
  )

describe("DataDirectory", () => {
  it.live("is refused while another process has it, by that process's id, and free as soon as it is killed", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const child = yield* holder(directory)
      const refusal = yield* Effect.flip(Effect.scoped(DataDirectory.make(directory)))
      assert.deepInclude(refusal, { _tag: "DataDirectoryBusy", directory, holder: `pid ${child.pid}` })
      assert.include(refusal.message, `another server (pid ${child.pid}) uses ${directory}`)
      const ended = once(child, "exit")
      child.kill("SIGKILL")
      yield* Effect.promise(() => ended)
      yield* Effect.scoped(DataDirectory.make(directory))
    }).pipe(Effect.scoped)
  )

  it.live("is refused a second time in one process, and free again with its scope", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* DataDirectory.make(directory)
          const refusal = yield* Effect.flip(Effect.scoped(DataDirectory.make(directory)))
          assert.strictEqual(refusal._tag, "DataDirectoryBusy")
          const still = yield* Effect.flip(Effect.scoped(DataDirectory.make(directory)))
          assert.strictEqual(still._tag, "DataDirectoryBusy")
        })
      )
      yield* Effect.scoped(DataDirectory.make(directory))
    }).pipe(Effect.scoped)
  )

  it.live("keeps all it holds from other users, also in a directory that was open to them", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryDirectory, "deep", "data")
      mkdirSync(directory, { recursive: true })
      chmodSync(directory, 0o755)
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        const event = { _tag: "SessionEnded" as const, reason: "done" }
        yield* journal.append([{ stream: sessionTopic("a"), after: 0, events: [event], open: false, summary: "{}" }])
        assert.strictEqual(statSync(directory).mode & 0o777, 0o700)
        const files = readdirSync(directory).toSorted()
        assert.deepStrictEqual(files, ["journal.db", "journal.db-shm", "journal.db-wal", "lock", "lock.holder"])
        for (const file of files) assert.strictEqual(statSync(join(directory, file)).mode & 0o777, 0o600, file)
      }).pipe(
        Effect.provide(SqlJournal.layer),
        Effect.provide(Layer.merge(DataDirectory.layer(directory), foundationLayer))
      )
    }).pipe(Effect.scoped)
  )

  it.live("says what is wrong with a place where it cannot be made", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryDirectory, "file")
      writeFileSync(file, "")
      const refusal = yield* Effect.flip(Effect.scoped(DataDirectory.make(join(file, "data"))))
      assert.strictEqual(refusal._tag, "StorageUnavailable")
      assert.include(refusal.message, `the data directory ${join(file, "data")} cannot be made or written: ENOTDIR`)
    }).pipe(Effect.scoped)
  )
})
