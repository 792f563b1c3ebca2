/** The process dies at each step of its work, and again while it comes back. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { cpSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { steps } from "../../layers/journal/AppendWriter.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import * as Client from "../../src/client.ts"
import { Embedded, SessionManager } from "../../src/index.ts"
import { server } from "../support/CommandLine.ts"
import { randomFrom, reader } from "../support/journalImages.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { sessionTopic } from "../support/topics.ts"

const points = [...steps, "before publish", "after publish"]
const isLong = process.env["ESPALIER_LONG"] !== undefined
/** How often a point is passed before the process dies there: twenty times each in the long run. */
const times = isLong ? Array.from({ length: 20 }, (_, index) => index + 1) : [2, 9]
/** Rounds of dying again, and openings that are killed. */
const rounds = isLong ? { again: 50, openings: 50 } : { again: 3, openings: 12 }
const MESSAGES = 8
const topic = sessionTopic("crash")

const program = (name: string) => fileURLToPath(new URL(`../support/${name}.ts`, import.meta.url))

/** Runs to its end, or for so many milliseconds. */
const run = (name: string, args: ReadonlyArray<string>, patience = 60_000) =>
  Effect.promise(async () => {
    const child = spawn(process.execPath, [program(name), ...args], {
      stdio: ["ignore", "pipe", "inherit"],
      timeout: patience,
      killSignal: "SIGKILL"
    })
    let stdout = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
    const [, signal] = await once(child, "close")
    return { stdout, isKilled: signal === "SIGKILL" }
  })

/** All there is of the session, however far it came. */
const storedEvents = (directory: string) =>
  Effect.scoped(
    Effect.map(reader(directory), ({ read }) =>
      read({ stream: topic, after: 0, limit: 10_000 }).map(({ event }) => event)
    )
  )

const noteRuns = (directory: string) => readFileSync(join(directory, "ledger"), "utf8").split("\n").filter(Boolean)

const finish = Effect.fnUntraced(function* (directory: string, what: string) {
  const { stdout } = yield* run("crashing-session", [directory])
  assert.strictEqual(stdout, "answered\n", what)
  const events = yield* storedEvents(directory)
  assertLaws(events)
  const count = (tag: string) => events.filter(({ _tag }) => _tag === tag).length
  assert.strictEqual(count("MessageReceived"), MESSAGES, what)
  assert.strictEqual(count("TurnEnded"), MESSAGES, what)
  const outcomes = events.flatMap((event) => (event._tag === "ToolCallSettled" ? [event.outcome._tag] : []))
  assert.strictEqual(outcomes.length, MESSAGES, what)
  assert.isTrue(
    outcomes.every((tag) => tag === "ToolCompleted" || tag === "ToolInterrupted" || tag === "ToolFailed"),
    outcomes.join()
  )
  const runs = noteRuns(directory)
  assert.strictEqual(new Set(runs).size, runs.length, `${what}: a tool ran twice: ${runs.join()}`)
})

describe("crash-every-point", () => {
  it.live(
    `a process that dies at any of ${points.length} steps comes back, answers all it accepted, and runs no tool twice`,
    () =>
      Effect.gen(function* () {
        for (const point of points) {
          for (const nth of times) {
            const directory = yield* temporaryDirectory
            const { isKilled } = yield* run("crashing-session", [directory, point, String(nth)])
            assert.isTrue(isKilled, `${point} was passed ${nth} times`)
            yield* finish(directory, `${point}, ${nth}`)
          }
        }
      }).pipe(Effect.scoped),
    3_000_000
  )
})

describe("crash-double", () => {
  it.live(
    "a process that dies again while it comes back loses and repeats nothing",
    () =>
      Effect.gen(function* () {
        for (let round = 0; round < rounds.again; round++) {
          const point = points[(round * 2 + Math.floor(round / 3)) % points.length] ?? "after commit"
          const directory = yield* temporaryDirectory
          yield* run("crashing-session", [directory, "after commit", "8"])
          for (const nth of [1, 2, 1]) yield* run("crashing-session", [directory, point, String(nth)])
          yield* finish(directory, `round ${round}`)
        }
      }).pipe(Effect.scoped),
    3_000_000
  )

  it.live(
    "a journal whose recovery is killed at any instant holds what one clean recovery makes of it",
    () =>
      Effect.gen(function* () {
        const random = randomFrom(7)
        const killed = yield* temporaryDirectory
        yield* run("crashing-session", [killed, "before commit", "14"])
        const copy = yield* temporaryDirectory
        cpSync(killed, copy, { recursive: true })
        const clean = yield* storedEvents(copy)
        assert.isAbove(clean.length, 5)
        let isCut = 0
        for (let n = 0; n < rounds.openings; n++) {
          const { isKilled } = yield* run("opening", [killed], 1 + random.below(500))
          if (isKilled) isCut++
        }
        assert.isAbove(isCut, 2)
        assert.deepStrictEqual(yield* storedEvents(killed), clean)
      }).pipe(Effect.scoped),
    3_000_000
  )
})

describe("crash-recovery-time", () => {
  it.live("with 10,000 stored sessions a killed server is back within 5 s and answers for each within 250 ms", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* temporaryDirectory
      const ids = Array.from({ length: 10_000 }, (_, n) => SessionId.make(`ses_stored_${n}`))
      yield* Effect.gen(function* () {
        const sessions = yield* SessionManager
        yield* Effect.forEach(ids, (sessionId) => sessions.start({ sessionId }), { concurrency: 500, discard: true })
      }).pipe(Effect.provide(Embedded.layer({ dataDirectory }), { local: true }))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { running, url } = yield* server(dataDirectory)
          const wake = Effect.gen(function* () {
            const espalier = yield* Client.Client
            const some = ids.slice(0, 500)
            yield* Effect.forEach(some, (sessionId) => espalier.SendMessage({ sessionId, text: "hello" }), {
              concurrency: 20,
              discard: true
            })
          })
          yield* Effect.provide(wake, Client.layer({ url }), { local: true })
          running.process.kill("SIGKILL")
          yield* Effect.promise(() => running.ended)
        })
      )
      const begun = performance.now()
      const { url } = yield* server(dataDirectory)
      const ready = performance.now() - begun
      const times = yield* Effect.gen(function* () {
        const espalier = yield* Client.Client
        const random = randomFrom(3)
        return yield* Effect.forEach(Array.from({ length: 1_000 }), () =>
          Effect.gen(function* () {
            const sessionId = ids[random.below(ids.length)] ?? SessionId.make("ses_stored_0")
            const asked = performance.now()
            yield* espalier.UpdateSession({ sessionId, title: "awake" })
            return performance.now() - asked
          })
        )
      }).pipe(Effect.provide(Client.layer({ url }), { local: true }))
      assert.isBelow(ready, 5_000)
      assert.isBelow(times.toSorted((a, b) => a - b)[990] ?? Infinity, 250)
    }).pipe(Effect.scoped)
  )
})
