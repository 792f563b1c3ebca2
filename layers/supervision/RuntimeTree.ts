/**
 * The runtime's own supervision tree: its fixed places, started in the order in which they stand below and stopped
 * against it when the layer's scope closes. Other layers find their place by its contract and start their children
 * there while they are built, so a place's children stand in the order of the layers.
 *
 * ```
 * espalier                one_for_one
 * ├─ foundation           rest_for_one   journal, event bus, registry
 * ├─ coordinators         one_for_one    session manager, monitor
 * │  └─ sessions          dynamic
 * └─ workers              one_for_one    pool, maintenance
 *    ├─ tool executors    dynamic
 *    └─ exports           dynamic
 * ```
 *
 * The places keep what layers have added: one that was restarted comes back whole.
 */
import { Context, Effect, Layer } from "effect"
import {
  Coordinators,
  Exports,
  Foundation,
  Root,
  Sessions,
  ToolExecutors,
  Workers
} from "../../services/supervision/Places.ts"
import { dynamicSupervisor, supervisor, type SupervisorSpec } from "../../services/supervision/ChildSpec.ts"
import { Supervisor } from "../../services/supervision/Supervisor.ts"

const keepAdded = true

const tree: SupervisorSpec = {
  id: "espalier",
  strategy: "one_for_one",
  children: [
    supervisor({ id: "foundation", strategy: "rest_for_one", keepAdded, children: [] }),
    supervisor({
      id: "coordinators",
      strategy: "one_for_one",
      keepAdded,
      children: [dynamicSupervisor({ id: "sessions", intensity: 3, period: "5 seconds", intensityPer: "child" })]
    }),
    supervisor({
      id: "workers",
      strategy: "one_for_one",
      keepAdded,
      children: [dynamicSupervisor({ id: "tool executors" }), dynamicSupervisor({ id: "exports" })]
    })
  ]
}

export const make = Effect.gen(function* () {
  const root = yield* (yield* Supervisor).start(tree)
  const foundation = yield* root.getSupervisor("foundation")
  const coordinators = yield* root.getSupervisor("coordinators")
  const sessions = yield* coordinators.getSupervisor("sessions")
  const workers = yield* root.getSupervisor("workers")
  const toolExecutors = yield* workers.getSupervisor("tool executors")
  const exports = yield* workers.getSupervisor("exports")
  return Context.empty().pipe(
    Context.add(Root, root),
    Context.add(Foundation, foundation),
    Context.add(Coordinators, coordinators),
    Context.add(Sessions, sessions),
    Context.add(Workers, workers),
    Context.add(ToolExecutors, toolExecutors),
    Context.add(Exports, exports)
  )
}).pipe(Effect.orDie)

export const layer = Layer.effectContext(make)
