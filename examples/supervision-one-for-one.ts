/** one_for_one: three feeds that know nothing of each other. One breaks at its second item; the others never notice. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import * as FiberSupervisor from "espalier/layers/supervision/FiberSupervisor"
import type { ChildSpec } from "espalier/services/supervision/ChildSpec"
import { Supervisor } from "espalier/services/supervision/Supervisor"

let hasBroken = false

const feed = (id: string): ChildSpec => ({
  id,
  start: Effect.gen(function* () {
    yield* Console.log(`+ ${id} is up`)
    yield* Effect.addFinalizer(() => Console.log(`- ${id} is put away`))
    return Effect.forever(Effect.delay(read(id), "100 millis"))
  })
})

const read = (id: string) =>
  Effect.gen(function* () {
    yield* Console.log(`  ${id}: an item`)
    if (id === "sport" && !hasBroken) {
      hasBroken = true
      return yield* Effect.fail(new Error("the line went dead"))
    }
  })

const program = Effect.gen(function* () {
  const supervisor = yield* Supervisor
  const feeds = yield* supervisor.start({
    id: "feeds",
    strategy: "one_for_one",
    children: [feed("news"), feed("sport"), feed("weather")]
  })
  yield* Effect.sleep("350 millis")
  for (const { id, restarts, state } of (yield* feeds.tree).children) {
    yield* Console.log(`${id} is ${state}, started again ${restarts} times`)
  }
  // The scope closes here: the feeds are put away, the last one first.
})

program.pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer), NodeRuntime.runMain)
