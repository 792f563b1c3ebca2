/**
 * `Registry` in this process's memory.
 *
 * The indexes over all entries are the child "registry" of the runtime's foundation: started again, it builds them anew
 * from the entries by their keys, so nobody has to register twice. Until then the indexes of the life before answer.
 * Nobody waits for anybody: each operation is one step on the maps.
 */
import { Effect, Layer, Random, Scheduler, Scope } from "effect"
import type { Agent, AgentKey } from "../../services/registry/Agent.ts"
import { type AgentFilter, fits } from "../../services/registry/AgentQuery.ts"
import {
  AgentExists,
  type AgentHandle,
  AgentNotFound,
  type AgentUpdate,
  type Registration,
  Registry
} from "../../services/registry/Registry.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { AgentIndex } from "./AgentIndex.ts"
import { Entry, type Keeper } from "./Entry.ts"
import { SharedLabels } from "./SharedLabels.ts"
import * as Watch from "./Watch.ts"

const finite = (load: number): number => {
  if (!Number.isFinite(load)) throw new RangeError(`a load is a finite number, not ${load}`)
  return load
}

/** Tries at a random agent that fits, before all that fit are looked for. */
const TRIES = 32

const isSame = (one: ReadonlyArray<string>, other: ReadonlyArray<string>): boolean =>
  one === other || (one.length === other.length && one.every((name, at) => other[at] === name))

const isLabelledAlike = (one: Agent["metadata"], other: Agent["metadata"]): boolean => {
  const names = Object.keys(one)
  return (
    one === other || (names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]))
  )
}

export const make = Effect.gen(function* () {
  const foundation = yield* Foundation
  const changes = new Watch.Changes()
  const shared = new SharedLabels()
  let index = new AgentIndex()
  let incarnation = 0

  const child: ChildSpec = {
    id: "registry",
    start: Effect.sync(() => {
      index = AgentIndex.of(index.entries())
      changes.note()
      return Effect.never
    })
  }
  yield* Effect.acquireRelease(Effect.orDie(foundation.startChild(child)), () =>
    Effect.ignore(Effect.andThen(foundation.terminateChild(child.id), foundation.deleteChild(child.id)))
  )

  const add = (registration: Registration, registeredAt: number): Entry => {
    const agent: Agent = {
      key: registration.key,
      incarnation: ++incarnation,
      tags: shared.names(registration.tags),
      capabilities: shared.names(registration.capabilities),
      status: registration.status ?? "idle",
      load: finite(registration.load ?? 0),
      connections: 0,
      metadata: shared.metadata(registration.metadata),
      registeredAt
    }
    const entry = new Entry(agent, keeper, registration)
    index.add(entry)
    changes.note()
    return entry
  }

  const drop = (entry: Entry, reason: NonNullable<Entry["gone"]>): void => {
    if (entry.gone !== undefined) return
    entry.gone = entry.isStopping ? "taken_over" : reason
    index.remove(entry)
    changes.note()
    for (const tell of entry.waiting?.splice(0) ?? []) tell()
    entry.waiting = undefined
  }

  const change = (entry: Entry, agent: Agent): void => {
    index.change(entry, agent)
    changes.note()
  }

  const named = (given: ReadonlyArray<string> | undefined, was: ReadonlyArray<string>): ReadonlyArray<string> => {
    if (given === undefined) return was
    const names = shared.names(given)
    return isSame(names, was) ? was : names
  }

  const update = (entry: Entry, { capabilities, load, metadata, status, tags }: AgentUpdate): void => {
    const { agent } = entry
    const next: Agent = {
      ...agent,
      tags: named(tags, agent.tags),
      capabilities: named(capabilities, agent.capabilities),
      status: status ?? agent.status,
      load: finite(load ?? agent.load),
      metadata:
        metadata === undefined || isLabelledAlike(metadata, agent.metadata) ? agent.metadata : shared.metadata(metadata)
    }
    const isChanged =
      next.tags !== agent.tags ||
      next.capabilities !== agent.capabilities ||
      next.status !== agent.status ||
      next.load !== agent.load ||
      next.metadata !== agent.metadata
    if (isChanged) change(entry, next)
  }

  const keeper: Keeper = { drop, update }

  /** One claimant asks the holder to stop; whoever else wants its key waits with it. */
  const stopHolder = (holder: Entry, stop: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (holder.isStopping) return holder.end
      holder.isStopping = true
      return Effect.andThen(Effect.ignoreCause(stop), holder.end).pipe(
        Effect.ensuring(Effect.sync(() => (holder.isStopping = false)))
      )
    })

  /** The holder stays where it may not, or does not, make room. */
  const makeRoom = (registration: Registration): Effect.Effect<void, AgentExists> =>
    Effect.suspend(() => {
      const { key, onConflict = "refuse", patience = "5 seconds" } = registration
      const holder = index.get(key)
      if (holder === undefined || onConflict === "replace") return Effect.void
      const refusal = Effect.suspend(() => Effect.fail(new AgentExists({ key, holder: holder.agent })))
      if (onConflict === "refuse" || holder.stop === undefined) return refusal
      return stopHolder(holder, holder.stop).pipe(
        Effect.timeoutOrElse({ duration: patience, orElse: () => refusal }),
        // Somebody else may have been faster.
        Effect.andThen(makeRoom(registration))
      )
    })

  const claim = (registration: Registration, now: number): Effect.Effect<Entry, AgentExists> => {
    const { key, onConflict } = registration
    const holder = index.get(key)
    if (holder !== undefined) {
      if (onConflict !== "replace") return Effect.fail(new AgentExists({ key, holder: holder.agent }))
      drop(holder, "replaced")
    }
    return Effect.succeed(add(registration, now))
  }

  const settle = (registration: Registration): Effect.Effect<Entry, AgentExists> =>
    Effect.clockWith((clock) => claim(registration, clock.currentTimeMillisUnsafe()))

  /** Makes room where it has to, which may be cut short, and settles then, which may not. */
  const entering = <A, R>(
    registration: Registration,
    settle: Effect.Effect<A, AgentExists, R>
  ): Effect.Effect<A, AgentExists, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() =>
        index.get(registration.key) === undefined ? settle : Effect.andThen(restore(makeRoom(registration)), settle)
      )
    )

  /** In one step, so that nobody sees an entry that its scope does not end yet. */
  const settleIn = (registration: Registration): Effect.Effect<AgentHandle, AgentExists, Scope.Scope> =>
    Effect.flatMap(Effect.scope, (scope) =>
      Effect.tap(settle(registration), (entry) => Scope.addFinalizer(scope, entry.leave))
    ).pipe(Effect.provideService(Scheduler.PreventSchedulerYield, true))

  const withEntry = <A>(key: AgentKey, use: (entry: Entry) => A): Effect.Effect<A, AgentNotFound> =>
    Effect.suspend(() => {
      const entry = index.get(key)
      return entry === undefined ? Effect.fail(new AgentNotFound({ key })) : Effect.succeed(use(entry))
    })

  const sample = Effect.fnUntraced(function* (filter: AgentFilter): Effect.fn.Return<Agent | undefined> {
    for (let count = 0; count < TRIES; count++) {
      const among = index.among(filter)
      if (among.size === 0) return undefined
      const agent = among.at(yield* Random.nextIntBetween(0, among.size, { halfOpen: true }))
      if (agent !== undefined && fits(agent, filter)) return agent
    }
    const all = index.find({ ...filter, limit: Number.POSITIVE_INFINITY })
    return all.length === 0 ? undefined : all[yield* Random.nextIntBetween(0, all.length, { halfOpen: true })]
  })

  const connect = (by: number) => (entry: Entry) => {
    if (entry.gone === undefined) {
      change(entry, { ...entry.agent, connections: entry.agent.connections + by })
    }
    return entry
  }

  return Registry.of({
    register: (registration) => entering(registration, settleIn(registration)),
    enter: (registration) => entering(registration, settle(registration)),
    lookup: (key) => withEntry(key, (entry) => entry.agent),
    receiver: (key) => withEntry(key, (entry) => entry.receive),
    find: (query) => Effect.sync(() => index.find(query)),
    sample,
    engage: (key) =>
      Effect.asVoid(
        Effect.acquireRelease(withEntry(key, connect(1)), (entry) => Effect.sync(() => connect(-1)(entry)))
      ),
    watch: (query) => Watch.watch(changes, () => index.find(query)),
    count: Effect.sync(() => index.size)
  })
})

export const layer = Layer.effect(Registry, make)
