/**
 * How a session shows in the registry. Its labels are its metadata there; those named `tags` and `capabilities`, names
 * with commas between them, are its tags and capabilities: the first fifty of each. So they are journaled with the session and come back with it.
 */
import { type AgentKey, mainOf } from "../registry/Agent.ts"
import type { AgentUpdate } from "../registry/Registry.ts"
import { type SessionState, statusOf } from "./SessionState.ts"

/** Each costs an index of its own, so a label does not make as many as it has room for. */
export const MAX_NAMES = 50

const namesIn = (text: string | undefined): ReadonlyArray<string> =>
  text === undefined
    ? []
    : text
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "")
        .slice(0, MAX_NAMES)

/** A sub-session stands below the session that started it. */
export const keyOf = ({ id, parent }: SessionState): AgentKey =>
  parent === undefined ? mainOf(id) : { session: parent.sessionId, role: "sub", index: parent.index }

/** The part that labels tell; of a sub-session, whose key names the one above, also its own id. */
export const labelsOf = ({ agentType, id, metadata, parent }: SessionState): AgentUpdate => {
  const { capabilities, tags, ...rest } = metadata
  return {
    tags: namesIn(tags),
    capabilities: namesIn(capabilities),
    metadata: { ...rest, agentType, ...(parent === undefined ? undefined : { sessionId: id }) }
  }
}

const agentStatus = {
  idle: "idle",
  hibernated: "hibernated",
  thinking: "busy",
  awaiting_permission: "awaiting_permission",
  ended: "draining"
} as const

/** The part that changes with its work. One that is being stopped takes none. */
export const workOf = (state: SessionState, isStopping: boolean): AgentUpdate => ({
  status: isStopping ? "draining" : agentStatus[statusOf(state)],
  load: state.waiting.length + (state.turn === undefined ? 0 : 1)
})
