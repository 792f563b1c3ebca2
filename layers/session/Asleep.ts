/**
 * What is left in memory of sessions that hibernate: their entries in the registry. All else of them is in the journal,
 * and their next message brings it back.
 */
import { Effect, Exit, Scope } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import type { EventBus } from "../../services/events/EventBus.ts"
import type { Registration, Registry } from "../../services/registry/Registry.ts"
import type { SessionId } from "../../services/session/SessionId.ts"

export const make = (registry: Registry["Service"], bus: EventBus["Service"]) => {
  const entries = new Map<SessionId, Scope.Closeable>()

  const keep = (id: SessionId, registration: Registration): Effect.Effect<void> =>
    Effect.gen(function* () {
      const scope = Scope.makeUnsafe()
      const entry = { ...registration, status: "hibernated", onConflict: "replace" } as const
      yield* Scope.provide(registry.register(entry), scope)
      entries.set(id, scope)
      yield* bus.publishEphemeral(Topic.ofSession(id), { _tag: "SessionHibernated" })
    }).pipe(Effect.ignore)

  /** Whether it was asleep. */
  const release = (id: SessionId): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const scope = entries.get(id)
      if (scope === undefined) return Effect.succeed(false)
      entries.delete(id)
      return Effect.as(Scope.close(scope, Exit.void), true)
    })

  const close: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(Array.from(entries.keys()), release, { discard: true })
  )

  return { close, has: (id: SessionId): boolean => entries.has(id), keep, release }
}

export type Asleep = ReturnType<typeof make>
