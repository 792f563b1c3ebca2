/** Tools that come and go while the runtime runs, beside those that are fixed. */
import type { Effect } from "effect"
import type { Tool } from "./Tool.ts"

export interface ToolSource {
  /** Also finds a tool that is not offered now but was: its run then says why not. */
  readonly find: (name: string) => Tool | undefined
  /** What is offered, by name: the same array for as long as nothing has changed. */
  readonly list: Effect.Effect<ReadonlyArray<Tool>>
}
