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
import { Supervisor } from "../../services/supervision/Supervisor.ts"

const place = { children: [], keepAdded: true }

export const make = Effect.gen(function* () {
  const supervisor = yield* Supervisor
  const root = yield* supervisor.start({ id: "espalier", strategy: "one_for_one", ...place })
  const foundation = yield* root.startSupervisor({ id: "foundation", strategy: "rest_for_one", ...place })
  const coordinators = yield* root.startSupervisor({ id: "coordinators", strategy: "one_for_one", ...place })
  const sessions = yield* coordinators.startDynamicSupervisor({
    id: "sessions",
    intensity: 3,
    period: "5 seconds",
    intensityPer: "child"
  })
  const workers = yield* root.startSupervisor({ id: "workers", strategy: "one_for_one", ...place })
  const toolExecutors = yield* workers.startDynamicSupervisor({ id: "tool executors" })
  const exports = yield* workers.startDynamicSupervisor({ id: "exports" })
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
