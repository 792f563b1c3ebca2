/** What a session's working directory has to say to agents: its `AGENTS.md`. */
import { Context, Effect } from "effect"

export const Instructions = Context.Reference<{
  /** Looked at anew with each turn. `undefined` where there is none that can be read. */
  readonly read: (directory: string) => Effect.Effect<string | undefined>
}>("espalier/session/Instructions", { defaultValue: () => ({ read: () => Effect.undefined }) })
