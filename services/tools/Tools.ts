/** The tools there are, by name. */
import { Context, type Effect, Schema } from "effect"
import type { Tool } from "./Tool.ts"
import { ToolClass } from "./ToolClass.ts"

export class ToolNotFound extends Schema.TaggedError<ToolNotFound>()("ToolNotFound", {
  name: Schema.String,
  available: Schema.Array(Schema.String)
}) {
  override get message() {
    return `no tool "${this.name}"; there are ${this.available.join(", ")}`
  }
}

/** What a listing shows of a tool. */
export const ToolDescription = Schema.Struct({
  name: Schema.String,
  description: Schema.String,
  /** JSON Schema of the arguments. */
  parameters: Schema.JsonObject,
  weight: Schema.Literals(["fast", "heavy"]),
  idempotent: Schema.Boolean,
  /** What it touches: what permission rules go by. */
  classes: Schema.Array(ToolClass),
  needsPermission: Schema.Boolean,
  /** Milliseconds. */
  deadline: Schema.Int,
  /** The pool that it runs on, when it is heavy. */
  pool: Schema.optionalKey(Schema.String)
})
export type ToolDescription = typeof ToolDescription.Type

export class Tools extends Context.Service<
  Tools,
  {
    readonly get: (name: string) => Effect.Effect<Tool, ToolNotFound>
    /** By name. */
    readonly list: Effect.Effect<ReadonlyArray<Tool>>
  }
>()("espalier/tools/Tools") {}

/** The first sentence of what a tool says of itself, for lists: some say a page. */
export const inShort = (description: string): string => {
  const line = description.split("\n", 1)[0] ?? ""
  const end = line.indexOf(". ")
  return end === -1 ? line : line.slice(0, end + 1)
}
