/**
 * How a session shows in the registry. Its labels are its metadata there; those named `tags` and `capabilities`, names
 * with commas between them, are its tags and capabilities. So they are journaled with the session and come back with it.
 */
import type { AgentUpdate } from "../registry/Registry.ts"
import type { SessionState } from "./SessionState.ts"

const namesIn = (text: string | undefined): ReadonlyArray<string> =>
  text === undefined
    ? []
    : text
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "")

/** The part that labels tell. */
export const labelsOf = ({ agentType, metadata }: SessionState): AgentUpdate => {
  const { capabilities, tags, ...rest } = metadata
  return { tags: namesIn(tags), capabilities: namesIn(capabilities), metadata: { ...rest, agentType } }
}

/** The part that changes with its work. One that is being stopped takes none. */
export const workOf = ({ turn, waiting }: SessionState, isStopping: boolean): AgentUpdate => ({
  status: isStopping ? "draining" : turn === undefined ? "idle" : "busy",
  load: waiting.length + (turn === undefined ? 0 : 1)
})
