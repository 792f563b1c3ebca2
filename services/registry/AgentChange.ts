/** How the result of a query changes: what a watcher is told. */
import { Schema } from "effect"
import { Agent, AgentKey } from "./Agent.ts"

export const AgentChange = Schema.TaggedUnion({
  /** The whole result: at first, and again whenever so much of it is another that telling each change says no less. */
  Snapshot: { agents: Schema.Array(Agent) },
  AgentAdded: { agent: Agent },
  AgentChanged: { agent: Agent },
  /** It has ended, fits no longer, or others have pushed it beyond the query's limit. */
  AgentRemoved: { key: AgentKey, incarnation: Schema.Int }
})
export type AgentChange = typeof AgentChange.Type

/** From one result of a query to a later one. Agents are compared by identity: an agent that changed is a new value. */
export const changesBetween = (
  before: ReadonlyArray<Agent>,
  after: ReadonlyArray<Agent>
): ReadonlyArray<AgentChange> => {
  const was = new Map(before.map((agent) => [agent.incarnation, agent]))
  const changes: Array<AgentChange> = []
  for (const agent of after) {
    const old = was.get(agent.incarnation)
    was.delete(agent.incarnation)
    if (old === undefined) changes.push({ _tag: "AgentAdded", agent })
    else if (old !== agent) changes.push({ _tag: "AgentChanged", agent })
  }
  // First who is gone: a key that is taken again is never shown twice.
  const removed = Array.from(was.values(), ({ incarnation, key }): AgentChange => ({
    _tag: "AgentRemoved",
    key,
    incarnation
  }))
  if (removed.length + changes.length > Math.max(after.length, 10)) return [{ _tag: "Snapshot", agents: after }]
  return [...removed, ...changes]
}
