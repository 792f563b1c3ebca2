/** Supervisors come and go, and nothing of them stays. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, References } from "effect"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import type { SupervisorRef } from "../../services/supervision/Supervisor.ts"
import { counted, counts, growth } from "../support/resources.ts"
import { makeProbe } from "./probe.ts"

const isLong = process.env["ESPALIER_LONG"] !== undefined
const cycles = isLong ? 10_000 : 1_000

describe("soak-leak", () => {
  it.effect(
    `${2 * cycles} supervisors with children of every kind start, crash and stop, and nothing of them stays`,
    () =>
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
        const run = (times: number) => Effect.repeat(cycle(top), { times: times - 1 })
        yield* run(10)
        const before = yield* counts
        const grown = yield* growth(cycles, run)
        assert.deepStrictEqual(yield* counts, before)
        assert.deepStrictEqual(yield* top.countChildren, { specs: 0, active: 0, supervisors: 0, workers: 0 })
        assert.isBelow(grown, 1024 * 1024, "bytes of heap that the cycles left behind")
      }).pipe(counted, Effect.provideService(References.MinimumLogLevel, "None"))
  )
})
