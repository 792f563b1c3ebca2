import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Registry } from "../../services/registry/Registry.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Root } from "../../services/supervision/Places.ts"
import type { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { randomFrom } from "../support/journalImages.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { eventsOf, inProcess, layerDurable, SessionWorld } from "../support/SessionWorld.ts"

const ROUNDS = process.env["ESPALIER_LONG"] === "1" ? 10_000 : 300
const SESSIONS = 10

const messages = [
  "hello",
  "/tool echo",
  "/tool wait_once",
  "/tool wait_heavy",
  "/tool shell",
  "/tool wait_shell",
  '/tool delegate {"task":"/tool wait_once"}',
  '/tool delegate {"task":"/tool wait_heavy"}',
  '/tool delegate {"task":"/tool shell"}',
  '/tool delegate {"task":"/tool delegate {\\"task\\":\\"/tool wait_other\\"}"}'
]

describe("cancelling", () => {
  it.effect(`${ROUNDS} cancels at random instants leave no fiber, worker, permission or sub-session behind`, () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const pool = yield* WorkerPool
      const registry = yield* Registry
      const root = yield* Root
      const world = yield* SessionWorld
      const random = randomFrom(11)
      const size = (node: TreeNode): number => node.children.reduce((sum, child) => sum + size(child), 1)
      const sessions = yield* Effect.forEach(Array.from({ length: SESSIONS }), () => manager.start({}))
      const before = size(yield* root.tree)
      const one = Effect.fnUntraced(function* (sessionId: (typeof sessions)[number]["id"]) {
        const text = messages[random.below(messages.length)] ?? "hello"
        yield* manager.send({ sessionId, text })
        for (let n = random.below(120); n > 0; n--) yield* Effect.yieldNow
        yield* Effect.ignore(manager.cancelTurn(sessionId))
      })
      for (let round = 0; round < ROUNDS / SESSIONS; round++) {
        const cancels = yield* Effect.forkChild(
          Effect.forEach(sessions, ({ id }) => one(id), { concurrency: SESSIONS, discard: true })
        )
        yield* Fiber.join(cancels)
      }
      // What supervisors clear away, they clear away in a moment.
      for (let n = 0; n < 500; n++) yield* Effect.yieldNow
      yield* TestClock.adjust("1 second")
      for (let n = 0; n < 500; n++) yield* Effect.yieldNow
      assert.deepInclude(yield* pool.status, { running: 0, queued: 0 })
      assert.strictEqual(yield* registry.count, SESSIONS)
      for (const { id } of sessions) {
        assert.deepInclude(yield* manager.get(id), {
          status: "idle",
          queued: 0,
          permissions: [],
          workers: [],
          subSessions: []
        })
        const events = (yield* eventsOf(id)).map(({ event }) => event)
        assertLaws(events)
        for (const sub of yield* manager.list({ parent: id, limit: 1_000 })) assert.strictEqual(sub.status, "ended")
      }
      // The supervisors of sub-sessions stay with their sessions.
      const left = (yield* root.tree).children.flatMap(function ids(node: TreeNode): ReadonlyArray<TreeNode> {
        return [node, ...node.children.flatMap(ids)]
      })
      const supervisors = left.filter(({ id }) => id.endsWith(" sub-sessions"))
      assert.isTrue(supervisors.every(({ children }) => children.length === 0))
      assert.strictEqual(size(yield* root.tree) - supervisors.length, before)
      assert.isAbove(world.runs.length, 0)
    }).pipe(inProcess(), Effect.provide(layerDurable))
  )
})
