/**
 * What is left in memory of sessions that hibernate: their entries in the registry. All else of them is in the journal,
 * and their next message brings it back.
 */
import { Effect } from "effect"
import type { AgentHandle } from "../../services/registry/Registry.ts"
import type { SessionId } from "../../services/session/SessionId.ts"

export const make = () => {
  const entries = new Map<SessionId, AgentHandle>()

  const keep = (id: SessionId, entry: AgentHandle): Effect.Effect<void> =>
    Effect.suspend(() => {
      entries.set(id, entry)
      return Effect.ignore(entry.update({ status: "hibernated" }))
    })

  /** The entry of one that was asleep, for its next life. */
  const take = (id: SessionId): AgentHandle | undefined => {
    const entry = entries.get(id)
    entries.delete(id)
    return entry
  }

  const close: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(Array.from(entries.keys()), (id) => take(id)?.leave ?? Effect.void, { discard: true })
  )

  return { close, has: (id: SessionId): boolean => entries.has(id), keep, take }
}

export type Asleep = ReturnType<typeof make>
