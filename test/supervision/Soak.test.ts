/** Supervisors come and go, and nothing of them stays. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, References } from "effect"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import type { SupervisorRef } from "../../services/supervision/Supervisor.ts"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { makeProbe } from "./probe.ts"

const isLong = process.env["ESPALIER_LONG"] !== undefined
const cycles = isLong ? 10_000 : 1_000

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

describe("soak-leak", () => {
  it.effect(`${cycles} supervisors with children of every kind start, crash and stop: the heap stays as it was`, () =>
    Effect.gen(function* () {
      const top = yield* FiberSupervisor.make.start({ id: "top", children: [], intensity: 1_000_000 })
      const cycle = (place: SupervisorRef) =>
        Effect.gen(function* () {
          const probe = makeProbe()
          const children = [probe.child("a"), probe.child("b", { restart: "transient" })]
          const nested = yield* place.startSupervisor({ id: "nested", strategy: "one_for_all", children })
          const dynamic = yield* nested.startDynamicSupervisor({ id: "dynamic" })
          yield* dynamic.startChild(probe.child("c", { restart: "temporary" }))
          yield* probe.crash("a")
          yield* place.terminateChild("nested")
          yield* place.deleteChild("nested")
          assert.strictEqual(probe.log.filter((event) => event.startsWith("+")).length, 5)
          assert.strictEqual(probe.log.filter((event) => event.startsWith("-")).length, 5)
        })
      const heap = Effect.sync(() => {
        collect()
        return process.memoryUsage().heapUsed
      })
      // What is made only once is made here.
      for (let index = 0; index < 500; index++) yield* cycle(top)
      const before = yield* heap
      for (let index = 0; index < cycles; index++) yield* cycle(top)
      const grown = (yield* heap) - before
      assert.deepStrictEqual(yield* top.countChildren, { specs: 0, active: 0, supervisors: 0, workers: 0 })
      assert.isBelow(grown, 1024 * 1024, "bytes of heap that the cycles left behind")
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
  )
})
