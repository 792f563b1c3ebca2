import { Effect, Schema } from "effect"
import * as Identifier from "../Identifier.ts"

export const WorkerId = Identifier.schema("wrk").pipe(Schema.brand("WorkerId"))
export type WorkerId = typeof WorkerId.Type

/** For one pool: the order of its ids is the order in which it took the tasks, also after a restart. */
export const makeWorkerIds = (): Effect.Effect<WorkerId> =>
  Effect.map(Identifier.inOrder("wrk"), (id) => WorkerId.make(id))
