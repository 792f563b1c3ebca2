/**
 * Whether a runtime can be asked for something: each of its fixed parts runs, which are the places below its root and what stands
 * in them. What comes and goes further below (sessions, workers, exports, servers of MCP) is not looked at, so the
 * answer costs the same however many there are, and a dependency that is down changes nothing in it.
 */
import { Effect } from "effect"
import type { ChildInfo } from "./SupervisionTree.ts"
import type { SupervisorRef } from "./Supervisor.ts"

const isRunning = ({ state }: ChildInfo): boolean => state === "running"

export const isReady = (root: Pick<SupervisorRef, "whichChildren" | "getSupervisor">): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const places = yield* root.whichChildren
    if (!places.every(isRunning)) return false
    for (const { id, type } of places) {
      if (type !== "supervisor") continue
      const parts = yield* (yield* root.getSupervisor(id)).whichChildren
      if (!parts.every(isRunning)) return false
    }
    return true
  }).pipe(
    // Gone since the list was made.
    Effect.catchTag("ChildNotFound", () => Effect.succeed(false))
  )
