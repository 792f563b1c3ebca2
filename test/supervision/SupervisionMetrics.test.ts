import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import { Supervisor } from "../../services/supervision/Supervisor.ts"
import { makeProbe, settle } from "./probe.ts"

/** Every series with its value, as an exporter sees them. */
const counted = Effect.map(Metric.snapshot, (all) =>
  Object.fromEntries(
    all.flatMap(({ attributes, id, state, type }) => {
      const value = type === "Counter" ? state.count : type === "Gauge" ? state.value : undefined
      const reason = attributes?.["reason"]
      const name = id.replace("espalier_supervision_", "") + (reason === undefined ? "" : ` ${reason}`)
      return value === undefined || Number(value) === 0 ? [] : [[name, Number(value)]]
    })
  )
)

describe("supervision metrics", () => {
  it.effect("every step in the life of a child is counted, and how many run now", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor
      const { child, crash, finish } = makeProbe()
      const many = yield* supervisor.startDynamic({ id: "many", intensityPer: "child", intensity: 1 })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const top = yield* supervisor.start({
            id: "top",
            strategy: "one_for_all",
            children: [child("a"), child("b")]
          })
          yield* crash("a")
          yield* Effect.flip(top.startChild({ id: "c", start: Effect.fail("no") }))
          assert.deepStrictEqual(yield* counted, {
            started_total: 2,
            restarted_total: 2,
            start_failed_total: 1,
            "exited_total failed": 1,
            "terminated_total shutdown": 1,
            children: 2
          })
        })
      )
      yield* many.startChild(child("d"))
      yield* many.startChild(child("e", { restart: "temporary" }))
      yield* many.startChild({
        ...child("f", { shutdown: "brutal_kill" }),
        start: Effect.succeed(Effect.uninterruptible(Effect.sleep("1 hour")))
      })
      yield* finish("e")
      yield* many.terminateChild("f")
      yield* crash("d")
      yield* crash("d")
      yield* settle
      assert.deepStrictEqual(yield* counted, {
        started_total: 5,
        restarted_total: 3,
        start_failed_total: 1,
        gave_up_total: 1,
        "exited_total failed": 3,
        "exited_total normal": 1,
        "terminated_total shutdown": 3,
        "terminated_total killed": 1
      })
    }).pipe(
      Effect.scoped,
      Effect.provide(FiberSupervisor.layer),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  )
})
