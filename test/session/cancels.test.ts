import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Registry } from "../../services/registry/Registry.ts"
import type { Session } from "../../services/session/Session.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Root } from "../../services/supervision/Places.ts"
import type { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { randomFrom } from "../support/journalImages.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { eventsOf, inProcess, layerDurable, SessionWorld } from "../support/SessionWorld.ts"

/** Cancels, in batches with sessions of their own: what grows is not what is measured here. */
const BATCH = 300
const BATCHES = process.env["ESPALIER_LONG"] === undefined ? 1 : 34
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

const breathe = Effect.forEach(Array.from({ length: 500 }), () => Effect.yieldNow, { discard: true })

const all = (node: TreeNode): ReadonlyArray<TreeNode> => [node, ...node.children.flatMap(all)]

const batch = Effect.fnUntraced(function* (below: (n: number) => number) {
  const manager = yield* SessionManager
  const pool = yield* WorkerPool
  const registry = yield* Registry
  const sessions = yield* Effect.forEach(Array.from({ length: SESSIONS }), () => manager.start({}))
  const cancelOne = Effect.fnUntraced(function* (sessionId: SessionId) {
    yield* manager.send({ sessionId, text: messages[below(messages.length)] ?? "hello" })
    for (let n = below(120); n > 0; n--) yield* Effect.yieldNow
    yield* Effect.ignore(manager.cancelTurn(sessionId))
  })
  for (let round = 0; round < BATCH / SESSIONS; round++) {
    yield* Effect.forEach(sessions, ({ id }) => cancelOne(id), { concurrency: SESSIONS, discard: true })
  }
  // What ended has a moment to be cleared away.
  yield* breathe
  yield* TestClock.adjust("1 second")
  yield* breathe
  assert.deepInclude(yield* pool.status, { running: 0, queued: 0 })
  assert.strictEqual(yield* registry.count, SESSIONS)
  const nothing: Partial<Session> = { status: "idle", queued: 0, permissions: [], workers: [], subSessions: [] }
  for (const { id } of sessions) {
    assert.deepInclude(yield* manager.get(id), nothing)
    assertLaws((yield* eventsOf(id)).map(({ event }) => event))
    for (const sub of yield* manager.list({ parent: id, limit: 1_000 })) assert.strictEqual(sub.status, "ended")
    yield* manager.stop(id)
  }
  yield* breathe
  yield* TestClock.adjust("1 second")
  yield* breathe
})

describe("cancelling", () => {
  it.effect(
    `${BATCH * BATCHES} cancels at random instants leave no fiber, worker, permission or sub-session behind`,
    () =>
      Effect.gen(function* () {
        const root = yield* Root
        const world = yield* SessionWorld
        const random = randomFrom(11)
        const before = all(yield* root.tree).map(({ id }) => id)
        for (let n = 0; n < BATCHES; n++) {
          yield* batch((limit) => random.below(limit))
          assert.deepStrictEqual(
            all(yield* root.tree).map(({ id }) => id),
            before
          )
        }
        assert.isAbove(world.runs.length, 0)
      }).pipe(inProcess(), Effect.provide(layerDurable)),
    600_000
  )
})
