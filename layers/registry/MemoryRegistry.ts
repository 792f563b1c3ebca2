/**
 * `Registry` in this process's memory.
 *
 * A registration belongs to the scope that made it. The indexes over all of them are the child "registry" of the
 * runtime's foundation: started again, it builds them anew from the registrations, so nobody has to register twice.
 * Until then the indexes of the life before answer. Nobody waits for anybody: each operation is one step on the maps.
 */
import { Clock, Effect, Layer, type Scope } from "effect"
import type { Agent, AgentKey } from "../../services/registry/Agent.ts"
import { AgentExists, AgentNotFound, type Registration, Registry } from "../../services/registry/Registry.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { AgentIndex, type Entry } from "./AgentIndex.ts"

export const make = Effect.gen(function* () {
  const foundation = yield* Foundation
  const registrations = new Set<Entry>()
  let index = new AgentIndex()
  let number = 0

  const child: ChildSpec = {
    id: "registry",
    start: Effect.sync(() => {
      const rebuilt = new AgentIndex()
      for (const entry of registrations) rebuilt.add(entry)
      index = rebuilt
      return Effect.never
    })
  }
  yield* Effect.acquireRelease(Effect.orDie(foundation.startChild(child)), () =>
    Effect.ignore(Effect.andThen(foundation.terminateChild(child.id), foundation.deleteChild(child.id)))
  )

  const add = ({ capabilities = [], key, metadata = {}, tags = [] }: Registration) =>
    Effect.flatMap(Clock.currentTimeMillis, (registeredAt): Effect.Effect<Entry, AgentExists> => {
      if (index.get(key) !== undefined) return Effect.fail(new AgentExists({ key }))
      const agent: Agent = {
        key,
        tags: [...new Set(tags)],
        capabilities: [...new Set(capabilities)],
        status: "idle",
        load: 0,
        connections: 0,
        metadata,
        registeredAt
      }
      const entry = { number: ++number, agent }
      registrations.add(entry)
      index.add(entry)
      return Effect.succeed(entry)
    })

  const remove = (entry: Entry) =>
    Effect.sync(() => {
      registrations.delete(entry)
      index.remove(entry)
    })

  const withEntry = <A>(key: AgentKey, use: (entry: Entry) => A): Effect.Effect<A, AgentNotFound> =>
    Effect.suspend(() => {
      const entry = index.get(key)
      return entry === undefined ? Effect.fail(new AgentNotFound({ key })) : Effect.succeed(use(entry))
    })

  return Registry.of({
    register: (registration): Effect.Effect<void, AgentExists, Scope.Scope> =>
      Effect.asVoid(Effect.acquireRelease(add(registration), remove)),
    update: (key, update) => withEntry(key, (entry) => index.update(entry, update)),
    lookup: (key) => withEntry(key, (entry) => entry.agent),
    find: (query) => Effect.sync(() => index.find(query)),
    count: Effect.sync(() => index.size)
  })
})

export const layer = Layer.effect(Registry, make)
