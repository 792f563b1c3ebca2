/**
 * Upkeep runs again and again while sessions and their tools work, old streams are let go of, and somebody plants
 * symbolic links in the scratch directory, in place of directories that are just being removed too.
 */
import { assert, describe, it } from "@effect/vitest"
import { NodeServices } from "@effect/platform-node"
import { Effect, Fiber, Layer, Random, Schema } from "effect"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import * as Upkeep from "../../layers/maintenance/Upkeep.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"

import { Workers } from "../../services/supervision/Places.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { inTime } from "../support/eventually.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

/** Beyond what Linux gives out (at most 4,194,304). */
const deadPid = 4_294_967
const SESSIONS = 4
const ROUNDS = process.env["ESPALIER_LONG"] === "1" ? 250 : 25
const FILES = 20

const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
const filesIn = (directory: string) => readdirSync(directory).toSorted()

/** A heavy tool that works in a directory of its own in the scratch directory, as a clone does. */
const editing = (scratch: string) => {
  const seen = { runs: 0, lost: 0 }
  const tool = Tool.make<{ readonly name: string }, string, never>({
    name: "edit",
    description: "writes into its directory, and looks whether all is there",
    weight: "heavy",
    idempotent: true,
    parameters: Schema.Struct({ name: Schema.String }),
    result: Schema.String,
    run: ({ name }) =>
      Effect.gen(function* () {
        const directory = join(scratch, `${process.pid}-${name}`)
        mkdirSync(directory)
        for (let file = 0; file < 5; file++) {
          writeFileSync(join(directory, `${file}`), name)
          yield* Effect.sleep("5 millis")
          for (let earlier = 0; earlier <= file; earlier++) {
            if (!existsSync(join(directory, `${earlier}`))) seen.lost++
          }
        }
        rmSync(directory, { recursive: true })
        seen.runs++
        return name
      })
  })
  return { seen, tool }
}

/** What a dead process left: directories in directories, with links to what is not ours. */
const leaveBehind = (scratch: string, outside: string, round: number) => {
  const directory = join(scratch, `${deadPid}-r${round}`)
  const deep = join(directory, "a", "b")
  mkdirSync(deep, { recursive: true })
  for (let file = 0; file < 5; file++) writeFileSync(join(deep, `${file}`), "left over")
  symlinkSync(outside, join(deep, "to a directory"))
  symlinkSync(join(outside, "0"), join(deep, "to a file"))
  const wide = Array.from({ length: 8 }, (_, number) => join(directory, `${number}`))
  for (const place of wide) {
    mkdirSync(place)
    writeFileSync(join(place, "file"), "left over")
  }
  symlinkSync(outside, join(scratch, `${deadPid}-d${round}`))
  symlinkSync(join(outside, "0"), join(scratch, `${deadPid}-f${round}`))
  return [...wide, deep, join(directory, "a"), directory]
}

/** Puts a link in the place of a directory, if that is there still. */
const swap = (directory: string, away: string, outside: string) => {
  try {
    renameSync(directory, away)
    symlinkSync(outside, directory)
    return true
  } catch {
    return false
  }
}

describe("upkeep", () => {
  it.live.skipIf(process.platform !== "linux")(
    `maintenance-race: ${ROUNDS} times links are planted while it removes and ${SESSIONS} sessions work`,
    () =>
      Effect.gen(function* () {
        const dataDirectory = yield* temporaryDirectory
        const elsewhere = yield* temporaryDirectory
        const scratch = join(dataDirectory, "scratch")
        const outside = join(elsewhere, "outside")
        const aside = join(elsewhere, "aside")
        for (const directory of [scratch, outside, aside]) mkdirSync(directory)
        for (let file = 0; file < FILES; file++) writeFileSync(join(outside, `${file}`), "not ours")
        const before = filesIn(outside)
        const { seen, tool } = editing(scratch)

        yield* Effect.gen(function* () {
          const manager = yield* SessionManager
          const pool = yield* WorkerPool
          // The runtime's own upkeep runs each hour; this one, a second one over the same journal, without a pause.
          const workers = yield* FiberSupervisor.make.start({ id: "second", children: [] })
          yield* Layer.build(
            Upkeep.layer({ scratch, interval: 1, retention: { workers: 0, sessions: 0, sessionEvents: 1 } }).pipe(
              Layer.provide([Layer.succeed(Workers, workers), NodeServices.layer])
            )
          )

          let isOver = false
          let acknowledged = 0
          const work = Effect.fnUntraced(function* (number: number) {
            const { id } = yield* manager.start({})
            let sent = 0
            for (let task = 0; !isOver; task++) {
              yield* manager.send({ sessionId: id, text: "hello" })
              acknowledged++
              sent++
              const run = yield* manager.runTool({ sessionId: id, tool: "edit", args: { name: `${number}-${task}` } })
              if (!("workerId" in run)) continue
              // Once it has ended, its session has no more business with it: it may be gone.
              const ended = pool.get(run.workerId).pipe(
                Effect.map(({ status }) => status),
                Effect.catchTag("WorkerNotFound", () => Effect.succeed("completed" as const))
              )
              let status = yield* ended
              while (status === "queued" || status === "running") {
                yield* Effect.sleep("5 millis")
                status = yield* ended
              }
              assert.strictEqual(status, "completed")
            }
            const session = yield* manager.get(id)
            assert.isAtLeast(session.messages, sent, "a session forgot its messages")
            assert.notStrictEqual(session.status, "ended")
            // One that has ended may be let go of while the others run.
            yield* manager.stop(id)
          })
          const working = yield* Effect.forkScoped(
            Effect.forEach(Array.from({ length: SESSIONS }), (_, number) => work(number), {
              concurrency: "unbounded",
              discard: true
            })
          )

          let swapped = 0
          for (let round = 0; round < ROUNDS; round++) {
            const places = leaveBehind(scratch, outside, round)
            // Into the midst of it: as soon as it is being emptied, or a moment earlier or later.
            for (let turns = yield* Random.nextIntBetween(0, 8); turns > 0; turns--) yield* turn
            for (const [index, place] of places.entries()) {
              if (swap(place, join(aside, `${round}-${index}`), outside)) swapped++
              yield* turn
            }
            if (round % 10 === 0) yield* Effect.sleep("2 millis")
          }
          yield* inTime(
            "all is removed but links",
            Effect.sync(() =>
              readdirSync(scratch, { withFileTypes: true }).every(
                (entry) => entry.isSymbolicLink() || !entry.name.startsWith(`${deadPid}-`)
              )
            )
          )
          isOver = true
          yield* Fiber.join(working)
          assert.isAbove(swapped, 0)
          assert.isAbove(acknowledged, SESSIONS)
          assert.strictEqual(filesIn(scratch).filter((name) => name.startsWith(`${deadPid}-d`)).length, ROUNDS)
        }).pipe(Effect.scoped, Effect.provide(Runtime.layer({ dataDirectory, tools: [tool] })))

        assert.deepStrictEqual(filesIn(outside), before)
        for (const file of before) assert.strictEqual(readFileSync(join(outside, file), "utf8"), "not ours")
        assert.isAbove(seen.runs, SESSIONS)
        assert.strictEqual(seen.lost, 0, "a directory in use was touched")
      }).pipe(Effect.scoped),
    180_000
  )
})
