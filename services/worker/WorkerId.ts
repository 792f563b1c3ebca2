import { Effect, Schema } from "effect"
import * as Identifier from "../Identifier.ts"

export const WorkerId = Identifier.schema("wrk").pipe(Schema.brand("WorkerId"))
export type WorkerId = typeof WorkerId.Type

export const generateWorkerId = Effect.map(Identifier.generate("wrk"), (id) => WorkerId.make(id))
