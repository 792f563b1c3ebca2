import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { foundationLayer } from "../support/foundation.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const program = fileURLToPath(new URL("../support/crashing-writer.ts", import.meta.url))
const ROUNDS = 3
const KILLED_AFTER = 3_000

/** Lets a process append until it has acknowledged enough, kills it at once, and tells the last acknowledged of each stream. */
const appendUntilKilled = (directory: string, acknowledged: Map<string, number>) =>
  Effect.promise(async () => {
    const child = spawn(process.execPath, [program, directory], { stdio: ["ignore", "pipe", "inherit"] })
    const ended = once(child, "exit")
    let rest = ""
    let count = 0
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        const [stream = "", sequence = ""] = line.split(" ")
        acknowledged.set(stream, Number(sequence))
        if (++count === KILLED_AFTER) child.kill("SIGKILL")
      }
    })
    const [, signal] = await ended
    assert.strictEqual(signal, "SIGKILL")
    assert.isAtLeast(count, KILLED_AFTER)
  })

const check = (acknowledged: ReadonlyMap<string, number>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const heads = yield* journal.heads({ prefix: "session:", limit: 1_000 })
    assert.strictEqual(heads.length, 200)
    for (const { sequence, stream, summary } of heads) {
      assert.isAtLeast(sequence, acknowledged.get(stream) ?? 0, `${stream} lost an acknowledged event`)
      assert.strictEqual(summary, `{"n":${sequence}}`)
      const events = yield* journal.read({ stream, after: 0, limit: 100_000 })
      assert.deepStrictEqual(
        events.map(({ event }) => (event._tag === "SessionEnded" ? event.reason : "")),
        Array.from({ length: sequence }, (_, n) => `${stream} ${n + 1}`)
      )
    }
  })

describe("a journal whose process is killed", () => {
  it.live("loses nothing that was acknowledged, repeats nothing and leaves no gap, round after round", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const acknowledged = new Map<string, number>()
      for (let round = 0; round < ROUNDS; round++) {
        yield* appendUntilKilled(directory, acknowledged)
        yield* check(acknowledged).pipe(
          Effect.provide(SqlJournal.layer, { local: true }),
          Effect.provide(Layer.merge(DataDirectory.layer(directory), foundationLayer), { local: true })
        )
      }
      assert.isAtLeast(
        [...acknowledged.values()].reduce((sum, n) => sum + n, 0),
        ROUNDS * KILLED_AFTER
      )
    }).pipe(Effect.scoped)
  )
})
