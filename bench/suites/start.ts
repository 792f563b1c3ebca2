/** A start with 10,000 stored sessions: until it is ready, and until any of them answers. */
import { NodeServices } from "@effect/platform-node"
import { Effect, FileSystem } from "effect"
import { Embedded, SessionManager } from "espalier"
import { SessionId } from "espalier/services/session/SessionId"
import type { Figure } from "../Figure.ts"

const STORED = 10_000
const ids = Array.from({ length: STORED }, (_, index) => SessionId.make(`ses_stored_${index}`))

const milliseconds = Effect.sync(() => Number(process.hrtime.bigint()) / 1_000_000)

export const suite = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const dataDirectory = yield* fs.makeTempDirectoryScoped()
  const runtime = Embedded.layer({ dataDirectory })
  yield* Effect.gen(function* () {
    const sessions = yield* SessionManager
    yield* Effect.forEach(ids, (sessionId) => sessions.start({ sessionId }), { concurrency: 500, discard: true })
  }).pipe(Effect.provide(runtime))

  const begun = yield* milliseconds
  const [ready, worst] = yield* Effect.gen(function* () {
    const sessions = yield* SessionManager
    const ready = (yield* milliseconds) - begun
    const answers: Array<number> = []
    for (let index = 0; index < STORED; index += 10) {
      const asked = yield* milliseconds
      yield* sessions.update(ids[(index * 7919) % STORED] ?? SessionId.make("ses_stored_0"), { title: "awake" })
      answers.push((yield* milliseconds) - asked)
    }
    return [ready, answers.toSorted((a, b) => a - b)[Math.floor(answers.length * 0.99)] ?? 0] as const
  }).pipe(Effect.provide(runtime, { local: true }))

  const figures: ReadonlyArray<Figure> = [
    { name: "ready with 10,000 stored sessions", unit: "ms", value: ready, bar: "<= 1,000 ms" },
    { name: "first answer of a stored session, p99", unit: "ms", value: worst, bar: "<= 10 ms" }
  ]
  return figures
}).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
