/** `Chaos` over the runtime's own tree. */
import { Effect, Layer } from "effect"
import { Chaos, ChaosRefused } from "../../services/supervision/Chaos.ts"
import { Root } from "../../services/supervision/Places.ts"
import { ChildNotFound, type SupervisorRef } from "../../services/supervision/Supervisor.ts"

/** Ids may hold a "/" of their own, so each place where one could end is tried, the longest id first. */
const crash = (supervisor: SupervisorRef, path: string): Effect.Effect<void, ChildNotFound> => {
  const below = (end: number): Effect.Effect<void, ChildNotFound> =>
    end <= 0
      ? Effect.fail(new ChildNotFound({ id: path }))
      : supervisor.getSupervisor(path.slice(0, end)).pipe(
          Effect.flatMap((nested) => crash(nested, path.slice(end + 1))),
          Effect.catchTag("ChildNotFound", () => below(path.lastIndexOf("/", end - 1)))
        )
  return Effect.catchTag(supervisor.crashChild(path), "ChildNotFound", () => below(path.lastIndexOf("/")))
}

export const make = Effect.map(Root, (root) =>
  Chaos.of({
    kill: (path) =>
      path.startsWith(`${root.path}/`)
        ? Effect.mapError(crash(root, path.slice(root.path.length + 1)), () => new ChildNotFound({ id: path }))
        : Effect.fail(new ChildNotFound({ id: path }))
  })
)

export const layer = Layer.effect(Chaos, make)

/** Refuses everything. */
export const layerRefused = Layer.succeed(Chaos, { kill: () => Effect.fail(new ChaosRefused()) })
