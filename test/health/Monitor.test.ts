import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Monitor from "../../layers/health/Monitor.ts"
import * as NodeEventLoop from "../../layers/health/NodeEventLoop.ts"
import * as BoundedWorkerPool from "../../layers/worker/BoundedWorkerPool.ts"
import { Coordinators } from "../../services/supervision/Places.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { eventually } from "../support/eventually.ts"
import { layerDurable, layerProcess, PoolWorld } from "../support/PoolWorld.ts"

const pool = Layer.provideMerge(BoundedWorkerPool.layer({ permits: 1 }), Layer.provideMerge(layerProcess, layerDurable))
const monitor = (options?: Monitor.Options) => Monitor.layer(options).pipe(Layer.provide(NodeEventLoop.layer))
const environment = Layer.provideMerge(monitor(), pool)

const samples = Effect.map(PoolWorld, (world) =>
  world.published.flatMap(({ event }) => (event._tag === "HealthSampled" ? [event] : []))
)

describe("Monitor", () => {
  it.effect("tells every second how the process does and how much work there is", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const pool = yield* WorkerPool
      yield* pool.submit(world.task("a"))
      yield* pool.submit(world.task("b"))
      yield* eventually("running", () => world.running === 1)
      yield* TestClock.adjust("3 seconds")
      const seen = yield* samples
      assert.strictEqual(seen.length, 3)
      assert.deepInclude(seen[0], { running: 1, queued: 1, agents: 1 })
      assert.isAbove(seen[0]?.rss ?? 0, 1_000_000)
      assert.isAbove(seen[0]?.heapUsed ?? 0, 1_000_000)
    }).pipe(Effect.provide(environment))
  )

  it.live("sees a blocked event loop in the sample after it, and not in the next", () =>
    Effect.gen(function* () {
      yield* Effect.sleep(100)
      const until = performance.now() + 250
      while (performance.now() < until);
      yield* Effect.sleep(400)
      const lateness = (yield* samples).map(({ eventLoopDelay }) => eventLoopDelay.max)
      const worst = Math.max(...lateness)
      assert.isAtLeast(worst, 150)
      assert.isBelow(Math.min(...lateness.slice(lateness.indexOf(worst) + 1)), 150)
    }).pipe(Effect.provide(Layer.provideMerge(monitor({ interval: 100 }), pool)))
  )

  it.effect("goes with its layer", () =>
    Effect.gen(function* () {
      const coordinators = yield* Coordinators
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Layer.build(monitor())
          assert.include(
            (yield* coordinators.whichChildren).map(({ id }) => id),
            "monitor"
          )
        })
      )
      assert.notInclude(
        (yield* coordinators.whichChildren).map(({ id }) => id),
        "monitor"
      )
    }).pipe(Effect.provide(pool))
  )
})
