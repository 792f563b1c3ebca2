/** A supervised child: started and stopped, crashed and back, and what it weighs. */
import { Deferred, Effect, Layer } from "effect"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Supervisor } from "../../services/supervision/Supervisor.ts"
import { against, type Beam } from "../beam.ts"
import type { Figure } from "../Figure.ts"
import { heap, perOperation } from "../measure.ts"
import { fiberWithScope } from "./baselines.ts"

const COUNT = 20_000
const CROWD = 100_000

const idle = (id: string): ChildSpec => ({ id, restart: "temporary", start: Effect.succeed(Effect.never) })

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
      { name: "10,000 start, crash in one tick, come back, stop: each", unit: "µs", value: storm, bar: "< 200" }
    ]
    return figures
  }).pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer.pipe(Layer.orDie)))
