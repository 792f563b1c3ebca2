/** The process dies between any two things that it writes, and what the next one makes of it. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { ended } from "../contracts/SessionManager.ts"
import { eventually } from "../support/eventually.ts"
import { calls, layer as scripted, says } from "../support/ScriptedModel.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { eventsOf, inProcess, layerDurable, SessionWorld } from "../support/SessionWorld.ts"

const SESSION = SessionId.make("ses_dies")
const MESSAGE = MessageId.make("msg_everything")

/** Delegates twice, besides calls of all kinds; what it delegates to asks a person, and delegates once more. */
const model = scripted(({ prompt: { content } }) => {
  const at = content.findLastIndex(({ role }) => role === "user")
  const said = JSON.stringify(content[at])
  const isFirst = content.length === at + 1
  if (!isFirst) return says("done")
  if (said.includes("everything")) {
    return calls(
      ["echo", { text: "a" }],
      ["wait_heavy", {}],
      ["shell", {}],
      ["delegate", { task: "ask" }],
      ["delegate", { task: "more" }]
    )
  }
  if (said.includes("ask")) return calls(["shell", {}])
  if (said.includes("more")) return calls(["delegate", { task: "less" }])
  return calls(["echo", { text: "b" }])
})

/** One life: it goes on from where the last one ended, until its turn is over or it has written so often. */
const live = Effect.fnUntraced(function* (writes: number) {
  const manager = yield* SessionManager
  const world = yield* SessionWorld
  world.forgetGates()
  yield* Deferred.succeed(world.gate("wait_heavy"), "done")
  const { id } = yield* manager.start({ sessionId: SESSION })
  let left = writes
  world.beforeAppend = Effect.suspend(() => {
    if (left-- <= 0) world.isStorageAway = true
    return Effect.yieldNow
  })
  const life = Effect.gen(function* () {
    yield* manager.send({ sessionId: id, messageId: MESSAGE, text: "everything" })
    const allowing = yield* Effect.forkChild(
      Effect.forever(
        Effect.gen(function* () {
          yield* Effect.yieldNow
          for (const { hash, permissionId } of yield* manager.permissions(id)) {
            yield* Effect.ignore(manager.resolvePermission({ sessionId: id, permissionId, hash, decision: "allow" }))
          }
        })
      )
    )
    yield* ended(id, 1)
    yield* Fiber.interrupt(allowing)
  })
  const living = yield* Effect.forkChild(Effect.ignore(life))
  yield* eventually("it dies or comes to its end", () => world.isStorageAway || living.pollUnsafe() !== undefined)
  // What waits for storage has a moment to get in its own way.
  for (let n = 0; n < 50; n++) yield* Effect.yieldNow
  yield* Fiber.interrupt(living)
  return !world.isStorageAway
})

/** After the last life: all is as if nobody had died. */
const look = Effect.gen(function* () {
  const manager = yield* SessionManager
  const world = yield* SessionWorld
  const pool = yield* WorkerPool
  const events = (yield* eventsOf(SESSION)).map(({ event }) => event)
  assertLaws(events)
  assert.deepInclude(
    events.find(({ _tag }) => _tag === "TurnEnded"),
    { outcome: "completed" }
  )
  // Nothing that the turn has begun goes on behind its back.
  for (let n = 0; n < 200; n++) yield* Effect.yieldNow
  assert.deepInclude(yield* pool.status, { running: 0, queued: 0 })
  const subs = yield* manager.list({ limit: 100 })
  assert.strictEqual(subs.length, 4, "itself, and three below it")
  for (const { id, status } of subs) {
    assert.strictEqual(status, id === SESSION ? "idle" : "ended", id)
    assertLaws((yield* eventsOf(id)).map(({ event }) => event))
  }
  assert.isAtMost(world.runs.filter((name) => name === "shell").length, 2, "what may not run twice did not")
})

describe("a process that dies between two writes", () => {
  it.effect("leaves nothing that the next one does not bring to its end: no turn, no worker, no session below", () =>
    Effect.gen(function* () {
      let deaths = 0
      for (let writes = 1, isOver = false; !isOver; writes++) {
        isOver = yield* Effect.gen(function* () {
          const world = yield* SessionWorld
          const isOver = yield* inProcess({ model })(live(writes))
          world.isStorageAway = false
          world.beforeAppend = Effect.yieldNow
          yield* inProcess({ model })(Effect.andThen(live(Infinity), look))
          return isOver
        }).pipe(
          Effect.catchDefect((defect) => Effect.die(new Error(`after ${writes} writes`, { cause: defect }))),
          Effect.provide(layerDurable, { local: true })
        )
        deaths++
      }
      assert.isAbove(deaths, 20)
    })
  )
})
