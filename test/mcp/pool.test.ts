/** The pool that the tools of servers run on: its own, and no server has more of it than its share. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schedule } from "effect"
import { SessionManager } from "../../services/session/SessionManager.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { fake } from "../support/McpWorld.ts"

const layer = (options: Runtime.Options = {}) =>
  Runtime.layerMemory({ mcpServers: { hangs: fake(), works: fake() }, ...options }).pipe(
    Layer.provide(Logger.layer([]))
  )

const run = Effect.fnUntraced(function* (sessionId: SessionId, tool: string, args: object) {
  const answer = yield* (yield* SessionManager).runTool({ sessionId, tool, args: { ...args } })
  return "workerId" in answer ? answer.workerId : yield* Effect.die(new Error("it was taken for a fast tool"))
})

const hang = (sessionId: SessionId) => run(sessionId, "hangs__do", { what: "hang" })
const work = (sessionId: SessionId) => run(sessionId, "works__echo", { text: "a" })

const mcp = Effect.flatMap(WorkerPool, ({ status }) =>
  Effect.flatMap(status, ({ pools }) => Effect.orDie(Effect.fromNullishOr(pools.find(({ name }) => name === "mcp"))))
)

const ended = (id: WorkerId) =>
  Effect.flatMap(WorkerPool, ({ get }) => get(id)).pipe(
    Effect.map(({ status }) => status),
    Effect.repeat({
      schedule: Schedule.spaced("10 millis"),
      until: (status) => status !== "queued" && status !== "running"
    }),
    Effect.timeout("10 seconds")
  )

describe("the pool of servers", () => {
  it.live("a server that hangs delays no call of another one, of the same session or of others", () =>
    Effect.gen(function* () {
      const sessions = yield* SessionManager
      const one = (yield* sessions.start({})).id
      const two = (yield* sessions.start({})).id
      for (let at = 0; at < 5; at++) yield* Effect.all([hang(one), hang(two)])
      yield* mcp.pipe(Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: ({ running }) => running === 2 }))
      const working = [yield* work(one), yield* work(two), yield* work(one)]
      for (const id of working) assert.strictEqual(yield* ended(id), "completed")
      const { queued, running, sessions: shown } = yield* mcp
      assert.deepStrictEqual([running, queued], [2, 8])
      // Each session once, however many servers it waits for.
      assert.sameMembers(
        shown.map(({ sessionId }) => sessionId),
        [one, two]
      )
    }).pipe(Effect.provide(layer({ mcp: { permits: 8 } })))
  )

  it.live("a server that hangs fills no more of the queue than its share, and who is refused is told which it is", () =>
    Effect.gen(function* () {
      const sessions = yield* SessionManager
      const { id } = yield* sessions.start({})
      // Two run and three wait.
      for (let at = 0; at < 5; at++) yield* hang(id)
      const refused = yield* Effect.flip(hang(id))
      assert.strictEqual(refused._tag, "QuotaExceeded")
      assert.include(refused.message, '"hangs" has 3 tasks waiting in the pool "mcp"')
      assert.strictEqual(yield* ended(yield* work(id)), "completed")
    }).pipe(Effect.provide(layer({ mcp: { permits: 8, queue: 12 } })))
  )

  it.live("what runs on the other pools waits for none of it", () =>
    Effect.gen(function* () {
      const { id } = yield* (yield* SessionManager).start({})
      for (let at = 0; at < 20; at++) yield* hang(id)
      const profile = yield* run(id, "process_large_file", { path: import.meta.filename })
      assert.strictEqual(yield* ended(profile), "completed")
    }).pipe(Effect.provide(layer()))
  )
})
