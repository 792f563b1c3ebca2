/**
 * Dynamic: connections that come and go, at most three at a time. Restarts are counted for each by itself, with a pause
 * before each, so that one that crashes for ever ends alone and has its last word.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import * as FiberSupervisor from "espalier/layers/supervision/FiberSupervisor"
import type { ChildSpec } from "espalier/services/supervision/ChildSpec"
import { Supervisor } from "espalier/services/supervision/Supervisor"

const connection = (id: string, body: Effect.Effect<unknown, unknown>): ChildSpec => ({
  id,
  restart: "transient",
  backoff: { initial: "20 millis" },
  start: Effect.as(Console.log(`+ ${id}`), body),
  onGiveUp: (reason) => Console.log(`  ${id} is given up on:`, reason)
})

const program = Effect.gen(function* () {
  const supervisor = yield* Supervisor
  const connections = yield* supervisor.startDynamic({
    id: "connections",
    intensityPer: "child",
    intensity: 2,
    period: "5 seconds",
    maxChildren: 3
  })
  yield* connections.startChild(connection("quick", Effect.sleep("10 millis")))
  yield* connections.startChild(connection("steady", Effect.never))
  yield* connections.startChild(connection("cursed", Effect.fail(new Error("nobody there"))))
  const refused = yield* Effect.flip(connections.startChild(connection("late", Effect.never)))
  yield* Console.log(`  late is refused: ${refused.message}`)
  yield* Effect.sleep("300 millis")
  const left = yield* connections.whichChildren
  yield* Console.log(`left: ${left.map(({ id }) => id).join(", ")}`)
})

program.pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer), NodeRuntime.runMain)
