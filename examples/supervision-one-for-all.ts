/** one_for_all: a reader and a writer share one conversation. When either breaks, both begin again. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Queue } from "effect"
import * as FiberSupervisor from "espalier/layers/supervision/FiberSupervisor"
import type { ChildSpec } from "espalier/services/supervision/ChildSpec"
import { Supervisor } from "espalier/services/supervision/Supervisor"

const program = Effect.gen(function* () {
  const line = yield* Queue.bounded<number>(16)

  const writer: ChildSpec = {
    id: "writer",
    start: Effect.gen(function* () {
      yield* Console.log("+ writer begins at 1")
      let next = 1
      return Effect.forever(
        Effect.delay(
          Effect.suspend(() => Queue.offer(line, next++)),
          "20 millis"
        )
      )
    })
  }

  let conversation = 0
  const reader: ChildSpec = {
    id: "reader",
    start: Effect.gen(function* () {
      conversation++
      yield* Console.log(`+ reader expects 1 (conversation ${conversation})`)
      yield* Queue.clear(line)
      let expected = 1
      return Effect.forever(
        Effect.gen(function* () {
          const got = yield* Queue.take(line)
          yield* Console.log(`  ${got}`)
          if (got !== expected++) return yield* Effect.die(new Error(`out of step at ${got}`))
          if (got === 3 && conversation === 1) return yield* Effect.fail(new Error("the connection was reset"))
        })
      )
    })
  }

  const supervisor = yield* Supervisor
  yield* supervisor.start({ id: "conversation", strategy: "one_for_all", children: [reader, writer] })
  yield* Effect.sleep("200 millis")
})

program.pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer), NodeRuntime.runMain)
