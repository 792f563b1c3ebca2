import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { Registry } from "../../services/registry/Registry.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Coordinators, Sessions } from "../../services/supervision/Places.ts"
import { ended, sessionManagerContract } from "../contracts/SessionManager.ts"
import { eventually } from "../support/eventually.ts"
import { inProcess, is, layerDurable, layerProcess, SessionWorld, until } from "../support/SessionWorld.ts"

const restarts = Effect.map(
  Effect.flatMap(Sessions, ({ tree }) => tree),
  ({ children }) => children.map(({ restarts }) => restarts)
)

describe("LocalSessionManager", () => {
  sessionManagerContract(Layer.provideMerge(layerProcess(), layerDurable))

  it.effect("a session is a supervised child, and working, cancelling and failing tools do not crash it", () =>
    inProcess()(
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const world = yield* SessionWorld
        const registry = yield* Registry
        const { id } = yield* manager.start({})
        for (const tool of ["wait_once", "wait_heavy"]) {
          yield* manager.send({ sessionId: id, text: `/tool ${tool}` })
          yield* eventually("it runs", () => world.runs.includes(tool))
          assert.strictEqual((yield* registry.find({ session: id, role: "main" }))[0]?.status, "busy")
          yield* manager.cancelTurn(id)
        }
        yield* manager.send({ sessionId: id, text: "/tool broken" })
        yield* Effect.ignore(manager.runTool({ sessionId: id, tool: "broken", args: {} }))
        const run = yield* manager.runTool({ sessionId: id, tool: "wait_other", args: {} })
        yield* Deferred.succeed(world.gate("wait_other"), "done")
        yield* ended(id, 3)
        yield* until(
          id,
          (event): event is Extract<typeof event, { readonly _tag: "ToolCallSettled" }> =>
            event._tag === "ToolCallSettled" && event.outcome._tag === "ToolCompleted"
        )
        assert.isTrue("workerId" in run)
        assert.deepStrictEqual(yield* restarts, [0])
        assert.strictEqual((yield* registry.find({ session: id, role: "main" }))[0]?.status, "idle")
      })
    ).pipe(Effect.provide(layerDurable))
  )

  it.effect("what a caller began goes on when the caller goes away", () =>
    inProcess()(
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const world = yield* SessionWorld
        const { id } = yield* manager.start({})
        yield* Effect.raceFirst(
          manager.runTool({ sessionId: id, tool: "wait_once", args: {} }),
          eventually("it runs", () => world.runs.length === 1)
        )
        yield* Deferred.succeed(world.gate("wait_once"), "done")
        const { outcome } = yield* until(id, is("ToolCallSettled"))
        assert.deepStrictEqual(outcome, { _tag: "ToolCompleted", result: "done" })
      })
    ).pipe(Effect.provide(layerDurable))
  )

  it.effect("its own child can be started again without any session noticing", () =>
    inProcess()(
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const coordinators = yield* Coordinators
        const world = yield* SessionWorld
        const { id } = yield* manager.start({})
        yield* manager.send({ sessionId: id, text: "/tool wait_once" })
        yield* eventually("it runs", () => world.runs.length === 1)
        yield* coordinators.terminateChild("session manager")
        yield* coordinators.restartChild("session manager")
        yield* Deferred.succeed(world.gate("wait_once"), "done")
        assert.strictEqual((yield* ended(id, 1)).outcome, "completed")
        assert.deepStrictEqual(yield* restarts, [0])
        assert.deepStrictEqual(world.runs, ["wait_once"])
      })
    ).pipe(Effect.provide(layerDurable))
  )
})
