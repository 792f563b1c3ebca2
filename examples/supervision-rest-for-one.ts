/** rest_for_one: each stands on those before it. The cache breaks, so the site that reads it goes too; the database stays. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import * as FiberSupervisor from "espalier/layers/supervision/FiberSupervisor"
import type { ChildSpec } from "espalier/services/supervision/ChildSpec"
import { Supervisor } from "espalier/services/supervision/Supervisor"

const part = (id: string): ChildSpec => ({
  id,
  start: Effect.gen(function* () {
    yield* Console.log(`+ ${id}`)
    yield* Effect.addFinalizer(() => Console.log(`- ${id}`))
    return Effect.never
  })
})

const program = Effect.gen(function* () {
  const supervisor = yield* Supervisor
  const app = yield* supervisor.start({
    id: "app",
    strategy: "rest_for_one",
    children: [part("database"), part("cache"), part("site")]
  })
  yield* Console.log("the cache crashes")
  yield* app.crashChild("cache")
  yield* Effect.sleep("50 millis")
  yield* Console.log("the program ends")
})

program.pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer), NodeRuntime.runMain)
