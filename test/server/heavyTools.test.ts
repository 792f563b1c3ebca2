/** Heavy tools on a real server: never more at a time than there are permits, and all of them end, also after a kill -9. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule, Stream } from "effect"
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Topic from "../../services/events/Topic.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { isEnded, type Worker } from "../../services/worker/Worker.ts"
import { isTerminal } from "../../services/worker/WorkerEvent.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import * as Client from "../../src/client.ts"
import { server } from "../support/CommandLine.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const sessionId = SessionId.make("ses_heavy")
const PERMITS = 3

/** A repository large enough to be worked on for a moment. */
const repository = (directory: string): string => {
  mkdirSync(directory, { recursive: true })
  for (let file = 0; file < 400; file++) {
    const lines = Array.from({ length: 200 }, (_, line) => `export const value${line} = () => ${line} // ${file}`)
    writeFileSync(join(directory, `file${file}.ts`), lines.join("\n"))
  }
  const git = (...args: ReadonlyArray<string>) => execFileSync("git", args, { cwd: directory, stdio: "ignore" })
  git("init", "-q")
  git("add", ".")
  git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "files")
  return directory
}

const runAll = (args: ReadonlyArray<{ readonly path: string } | { readonly repoUrl: string }>) =>
  Effect.gen(function* () {
    const espalier = yield* Client.Client
    yield* espalier.StartSession({ sessionId })
    return yield* Effect.forEach(
      args,
      (args) =>
        Effect.flatMap(espalier.RunTool({ sessionId, tool: "analyze_codebase", args: { ...args } }), (run) =>
          "workerId" in run ? Effect.succeed(run.workerId) : Effect.die(new Error("it should be heavy"))
        ),
      { concurrency: args.length }
    )
  })

const untilEnded = Effect.fnUntraced(function* (workerId: WorkerId) {
  const espalier = yield* Client.Client
  return yield* espalier
    .GetWorker({ workerId })
    .pipe(
      Effect.repeat({ schedule: Schedule.spaced("100 millis"), until: (worker) => isEnded(worker) }),
      Effect.timeout("60 seconds")
    )
})

/** Most workers that ran at the same instant. */
const overlap = (workers: ReadonlyArray<Worker>): number => {
  const instants = workers.flatMap(({ endedAt = 0, startedAt = 0 }) => [
    { at: startedAt, change: 1 },
    { at: endedAt, change: -1 }
  ])
  let running = 0
  return instants
    .toSorted((a, b) => a.at - b.at || a.change - b.change)
    .reduce((most, { change }) => Math.max(most, (running += change)), 0)
}

/** Processes of this machine whose command line mentions the directory. */
const processesIn = (directory: string): ReadonlyArray<string> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")]
      } catch {
        return []
      }
    })
    .filter((line) => line.includes(directory))

describe("heavy tools", () => {
  it.live(
    "ten at once: three run, seven wait, all complete",
    () =>
      Effect.gen(function* () {
        const { dataDirectory, url } = yield* server()
        const path = repository(join(dataDirectory, "repository"))
        yield* Effect.gen(function* () {
          const espalier = yield* Client.Client
          const ids = yield* runAll(Array.from({ length: 10 }, () => ({ path })))
          const status = yield* espalier.PoolStatus()
          assert.isAtMost(status.running, PERMITS)
          const workers = yield* Effect.forEach(ids, untilEnded, { concurrency: 10 })
          assert.deepStrictEqual(
            workers.map(({ status }) => status),
            ids.map(() => "completed")
          )
          assert.strictEqual(overlap(workers), PERMITS)
        }).pipe(Effect.provide(Client.layer({ url })))
      }).pipe(Effect.scoped),
    120_000
  )

  it.live(
    "queued and running work goes on after a kill -9, ends once, and leaves no child process",
    () =>
      Effect.gen(function* () {
        const dataDirectory = yield* temporaryDirectory
        const repoUrl = repository(join(dataDirectory, "repository"))
        const ids = yield* Effect.gen(function* () {
          const { running, url } = yield* server(dataDirectory)
          const ids = yield* Effect.provide(
            runAll(Array.from({ length: 8 }, () => ({ repoUrl }))),
            Client.layer({ url }),
            { local: true }
          )
          running.process.kill("SIGKILL")
          yield* Effect.promise(() => running.ended)
          return ids
        }).pipe(Effect.scoped)

        if (process.platform === "linux") {
          yield* Effect.sync(() => processesIn(dataDirectory)).pipe(
            Effect.repeat({ schedule: Schedule.spaced("100 millis"), until: (left) => left.length === 0 }),
            Effect.timeout("3 seconds")
          )
        }

        const { url } = yield* server(dataDirectory)
        yield* Effect.gen(function* () {
          const espalier = yield* Client.Client
          const workers = yield* Effect.forEach(ids, untilEnded, { concurrency: 8 })
          assert.deepStrictEqual(
            workers.map(({ status }) => status),
            ids.map(() => "completed")
          )
          for (const { id, sequence } of workers) {
            const events = yield* espalier.Subscribe({ topic: Topic.ofWorker(id), from: 1 }).pipe(
              Stream.filter((delivery) => delivery._tag === "Event"),
              Stream.take(sequence),
              Stream.runCollect
            )
            assert.strictEqual(events.filter(({ event }) => isTerminal(event)).length, 1)
          }
          const settled = yield* espalier.Subscribe({ topic: Topic.ofSession(sessionId), from: 1 }).pipe(
            Stream.filter((delivery) => delivery._tag === "Event" && delivery.event._tag === "ToolCallSettled"),
            Stream.take(ids.length),
            Stream.runCollect,
            Effect.timeout("10 seconds")
          )
          const calls = settled.flatMap((delivery) =>
            delivery._tag === "Event" && "callId" in delivery.event ? [delivery.event.callId] : []
          )
          assert.strictEqual(new Set(calls).size, ids.length)
        }).pipe(Effect.provide(Client.layer({ url }), { local: true }))
      }).pipe(Effect.scoped),
    120_000
  )
})
