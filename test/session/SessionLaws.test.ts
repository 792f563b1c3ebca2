import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { MessageId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Sessions } from "../../services/supervision/Places.ts"
import { inProcess, eventsOf, layerDurable, SessionWorld } from "../support/SessionWorld.ts"
import { assertLaws } from "../support/sessionLaws.ts"

const Step = Schema.Literals([
  "say",
  "say",
  "run fast",
  "run heavy",
  "repeat",
  "cancel",
  "cancel twice",
  "open",
  "crash",
  "restart",
  "breathe",
  "breathe",
  "own tool",
  "own worker",
  "ask",
  "answer",
  "interrupt",
  "roll back",
  "delegate",
  "delegate and ask",
  "be asked",
  "reply",
  "delegate and be asked"
])

describe("laws of sessions", () => {
  it.effect.prop(
    "hold whenever turns are cancelled, fibers crash and the session is stopped",
    [Schema.Array(Step).check(Schema.isMinLength(20), Schema.isMaxLength(50)), Schema.Boolean],
    ([steps, isPatient]) =>
      Effect.gen(function* () {
        const world = yield* SessionWorld
        const log = yield* inProcess()(
          Effect.gen(function* () {
            const manager = yield* SessionManager
            const sessions = yield* Sessions
            const { id } = yield* manager.start({})
            const go = (effect: Effect.Effect<unknown, unknown>) => Effect.forkChild(Effect.ignore(effect))
            const messageId = MessageId.make("msg_repeated")
            for (const step of steps) {
              switch (step) {
                case "say":
                  yield* go(manager.send({ sessionId: id, text: "hello" }))
                  break
                case "run fast":
                  yield* go(manager.send({ sessionId: id, text: "/tool wait_again" }))
                  break
                case "run heavy":
                  yield* go(manager.send({ sessionId: id, text: "/tool wait_heavy" }))
                  break
                case "repeat":
                  yield* go(manager.send({ sessionId: id, text: "again", messageId }))
                  break
                case "cancel":
                  yield* go(manager.cancelTurn(id))
                  break
                case "cancel twice":
                  yield* go(Effect.all([manager.cancelTurn(id), manager.cancelTurn(id)], { concurrency: 2 }))
                  break
                case "open":
                  yield* Deferred.succeed(world.gate("wait_again"), "done")
                  yield* Deferred.succeed(world.gate("wait_heavy"), "done")
                  yield* Deferred.succeed(world.gate("wait_shell"), "done")
                  world.forgetGates()
                  break
                case "crash":
                  world.beforeAppend = Effect.suspend(() => {
                    world.beforeAppend = Effect.yieldNow
                    return Effect.die(new Error("poisoned"))
                  })
                  break
                case "restart":
                  yield* Effect.ignore(sessions.terminateChild(id))
                  break
                case "own tool":
                  yield* go(manager.runTool({ sessionId: id, tool: "wait_once", args: {} }))
                  break
                case "own worker":
                  yield* go(manager.runTool({ sessionId: id, tool: "wait_other", args: {} }))
                  break
                case "ask":
                  yield* go(manager.send({ sessionId: id, text: "/tool wait_shell" }))
                  break
                case "answer":
                  yield* go(
                    Effect.flatMap(manager.permissions(id), (asked) =>
                      Effect.forEach(asked, ({ hash, permissionId }) =>
                        manager.resolvePermission({ sessionId: id, permissionId, hash, decision: "allow" })
                      )
                    )
                  )
                  break
                case "be asked":
                  yield* go(manager.send({ sessionId: id, text: "/tool asks_again" }))
                  break
                case "reply":
                  yield* go(
                    Effect.flatMap(manager.questions(id), (asked) =>
                      Effect.forEach(asked, ({ questionId }) =>
                        manager.answerQuestion({
                          sessionId: id,
                          questionId,
                          action: "accept",
                          content: { colour: "red" }
                        })
                      )
                    )
                  )
                  break
                case "delegate and be asked":
                  yield* go(manager.send({ sessionId: id, text: '/tool delegate {"task":"/tool asks"}' }))
                  break
                case "delegate":
                  yield* go(
                    manager.send({ sessionId: id, text: '/tool delegate {"task":"/tool wait_again","deadline":30}' })
                  )
                  break
                case "delegate and ask":
                  yield* go(manager.send({ sessionId: id, text: '/tool delegate {"task":"/tool wait_shell"}' }))
                  break
                case "interrupt":
                  yield* go(manager.send({ sessionId: id, text: "now", whenBusy: "interrupt" }))
                  break
                case "roll back":
                  yield* go(manager.send({ sessionId: id, text: "instead", whenBusy: "rollback" }))
                  break
                case "breathe":
                  for (let i = 0; i < 20; i++) yield* Effect.yieldNow
                  break
              }
            }
            world.beforeAppend = Effect.yieldNow
            if (isPatient) yield* TestClock.adjust("1 minute")
            yield* manager
              .stop(id)
              .pipe(
                Effect.catchTag("SessionInterrupted", () =>
                  Effect.andThen(TestClock.adjust("1 second"), manager.stop(id))
                )
              )
            assert.deepInclude(yield* manager.get(id), { status: "ended", queued: 0, workers: [] })
            const subs = yield* manager.list({ parent: id, limit: 100 })
            for (const sub of subs) {
              assert.strictEqual(sub.status, "ended")
              assertLaws((yield* eventsOf(sub.id)).map(({ event }) => event))
            }
            return yield* eventsOf(id)
          })
        )
        assertLaws(log.map(({ event }) => event))
        assert.deepStrictEqual(
          log.map(({ sequence }) => sequence),
          log.map((_, index) => index + 1)
        )
      }).pipe(Effect.provide(layerDurable, { local: true })),
    { arbitrary: { runs: 100 } }
  )
})
