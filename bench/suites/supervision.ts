/** A supervised child: started and stopped, crashed and back, and what it weighs. */
import { Deferred, Effect, Layer, Metric } from "effect"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Registry } from "../../services/registry/Registry.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Sessions } from "../../services/supervision/Places.ts"
import { Supervisor } from "../../services/supervision/Supervisor.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { against, type Beam } from "../beam.ts"
import type { Figure } from "../Figure.ts"
import { heap, perOperation } from "../measure.ts"
import { fiberWithScope } from "./baselines.ts"

const COUNT = 20_000
const CROWD = 100_000
const RESTARTS = 200
const STORM = 10_000

const idle = (id: string): ChildSpec => ({ id, restart: "temporary", start: Effect.succeed(Effect.never) })

const restarted = Effect.map(Metric.snapshot, (all) => {
  const found = all.find(({ id }) => id === "espalier_supervision_restarted_total")
  return found?.type === "Counter" ? Number(found.state.count) : 0
})

/** Milliseconds until all sessions of a runtime over memory have reloaded, after all were killed at once. */
const sessionStorm = Effect.gen(function* () {
  const manager = yield* SessionManager
  const sessions = yield* Sessions
  const registry = yield* Registry
  const ids: Array<SessionId> = []
  for (let index = 0; index < STORM; index++) ids.push((yield* manager.start({})).id)
  const started = process.hrtime.bigint()
  for (const id of ids) yield* sessions.crashChild(id)
  // Every restart is counted once its session has loaded and registered.
  while ((yield* restarted) < STORM || (yield* registry.count) < STORM) yield* Effect.sleep(1)
  return Number(process.hrtime.bigint() - started) / 1e6
}).pipe(Effect.provide(Runtime.layerMemory()), Effect.provideService(Metric.MetricRegistry, new Map()))

export const suite = (beam: Beam) =>
  Effect.gen(function* () {
    const supervisor = yield* Supervisor
    const parent = yield* supervisor.startDynamic({ id: "bench", intensityPer: "child" })

    const startStop = yield* perOperation(
      COUNT,
      Effect.gen(function* () {
        for (let index = 0; index < COUNT; index++) {
          yield* parent.startChild(idle("child"))
          yield* parent.terminateChild("child")
        }
      })
    )

    const before = yield* heap
    for (let index = 0; index < CROWD; index++) yield* parent.startChild(idle(`child ${index}`))
    const perChild = ((yield* heap) - before) / CROWD
    for (let index = 0; index < CROWD; index++) yield* parent.terminateChild(`child ${index}`)

    /** From one crash to the next life, on a supervisor of its own each time, as there. */
    const restarts = Effect.scoped(
      Effect.gen(function* () {
        let crash = Deferred.makeUnsafe<never, string>()
        let up = Deferred.makeUnsafe<void>()
        yield* supervisor.start({
          id: "restarts",
          intensity: 1_000,
          children: [
            {
              id: "child",
              start: Effect.sync(() => {
                crash = Deferred.makeUnsafe()
                Deferred.doneUnsafe(up, Effect.void)
                return Deferred.await(crash)
              })
            }
          ]
        })
        for (let index = 0; index < RESTARTS; index++) {
          up = Deferred.makeUnsafe()
          yield* Deferred.fail(crash, "crash")
          yield* Deferred.await(up)
        }
      })
    )
    const restart = yield* perOperation(RESTARTS, restarts, 20)

    /** All crash at once; over when the last one's second life has begun. */
    const storm = yield* perOperation(
      10_000,
      Effect.gen(function* () {
        const crash = yield* Deferred.make<never, string>()
        const back = yield* Deferred.make<void>()
        let starts = 0
        for (let index = 0; index < 10_000; index++) {
          yield* parent.startChild({
            id: `stormy ${index}`,
            start: Effect.suspend(() => {
              if (++starts === 20_000) Deferred.doneUnsafe(back, Effect.void)
              return Effect.succeed(starts > 10_000 ? Effect.never : Deferred.await(crash))
            })
          })
        }
        yield* Deferred.fail(crash, "storm")
        yield* Deferred.await(back)
        for (let index = 0; index < 10_000; index++) yield* parent.terminateChild(`stormy ${index}`)
      }),
      2
    )

    const figures: ReadonlyArray<Figure> = [
      {
        name: "start, then stop one supervised child",
        unit: "µs",
        value: startStop,
        ...against(beam, "start_stop"),
        bar: "<= 1.5"
      },
      {
        name: "the same, beside a bare fiber with a scope",
        unit: "µs",
        value: startStop,
        baseline: { name: "Effect fiber", value: yield* fiberWithScope }
      },
      {
        name: `an idle supervised child, of ${CROWD.toLocaleString("en-US")}`,
        unit: "KB",
        value: perChild / 1024,
        ...against(beam, "child_bytes", 1 / 1024)
      },
      { name: "crash, to the second life of the child", unit: "µs", value: restart, ...against(beam, "restart") },
      {
        name: "10,000 sessions crash in one tick, until all are back with their state",
        unit: "ms",
        value: yield* sessionStorm,
        bar: "<= 2,000"
      },
      { name: "10,000 start, crash in one tick, come back, stop: each", unit: "µs", value: storm, bar: "< 200" }
    ]
    return figures
  }).pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer.pipe(Layer.orDie)))
