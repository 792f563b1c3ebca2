/**
 * `Registry` in this process's memory.
 *
 * A registration belongs to the scope that made it. The indexes over all of them are the child "registry" of the
 * runtime's foundation: started again, it builds them anew from the registrations, so nobody has to register twice.
 * Until then the indexes of the life before answer. Nobody waits for anybody: each operation is one step on the maps.
 */
import { Effect, Layer, Random, Scheduler, type Scope } from "effect"
import type { Agent, AgentKey } from "../../services/registry/Agent.ts"
import { type AgentFilter, fits } from "../../services/registry/AgentQuery.ts"
import {
  AgentExists,
  type AgentHandle,
  AgentNotFound,
  type AgentUpdate,
  type Registration,
  RegistrationLost,
  Registry
} from "../../services/registry/Registry.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { AgentIndex } from "./AgentIndex.ts"
import * as Entry from "./Entry.ts"
import * as Watch from "./Watch.ts"

/** Tries at a random agent that fits, before all that fit are looked for. */
const TRIES = 32

const distinct = (names: ReadonlyArray<string>, was: ReadonlyArray<string>): ReadonlyArray<string> => {
  const now = Array.from(new Set(names))
  return now.length === was.length && now.every((name, at) => was[at] === name) ? was : now
}

const isSame = (one: Agent["metadata"], other: Agent["metadata"]): boolean => {
  const names = Object.keys(one)
  return (
    one === other || (names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]))
  )
}

/** The agent with what is updated; the same value if nothing is. */
const updated = (agent: Agent, { capabilities, load, metadata, status, tags }: AgentUpdate): Agent => {
  if (load !== undefined && !Number.isFinite(load)) throw new RangeError(`a load is a finite number, not ${load}`)
  const next: Agent = {
    ...agent,
    tags: tags === undefined ? agent.tags : distinct(tags, agent.tags),
    capabilities: capabilities === undefined ? agent.capabilities : distinct(capabilities, agent.capabilities),
    status: status ?? agent.status,
    load: load ?? agent.load,
    metadata: metadata === undefined || isSame(metadata, agent.metadata) ? agent.metadata : { ...metadata }
  }
  const isChanged =
    next.tags !== agent.tags ||
    next.capabilities !== agent.capabilities ||
    next.status !== agent.status ||
    next.load !== agent.load ||
    next.metadata !== agent.metadata
  return isChanged ? next : agent
}

export const make = Effect.gen(function* () {
  const foundation = yield* Foundation
  const registrations = new Set<Entry.Entry>()
  const changes = new Watch.Changes()
  let index = new AgentIndex()
  let incarnation = 0

  const child: ChildSpec = {
    id: "registry",
    start: Effect.sync(() => {
      const rebuilt = new AgentIndex()
      for (const entry of registrations) rebuilt.add(entry)
      index = rebuilt
      changes.note()
      return Effect.never
    })
  }
  yield* Effect.acquireRelease(Effect.orDie(foundation.startChild(child)), () =>
    Effect.ignore(Effect.andThen(foundation.terminateChild(child.id), foundation.deleteChild(child.id)))
  )

  const enter = ({ key, receive, stop, ...update }: Registration, registeredAt: number): Entry.Entry => {
    const blank: Agent = {
      key,
      incarnation: ++incarnation,
      tags: [],
      capabilities: [],
      status: "idle",
      load: 0,
      connections: 0,
      metadata: {},
      registeredAt
    }
    const entry = Entry.make(updated(blank, update), { receive, stop })
    registrations.add(entry)
    index.add(entry)
    changes.note()
    return entry
  }

  const drop = (entry: Entry.Entry, reason: NonNullable<Entry.Entry["gone"]>): void => {
    if (entry.gone !== undefined) return
    entry.gone = entry.isStopping ? "taken_over" : reason
    registrations.delete(entry)
    index.remove(entry)
    changes.note()
    for (const tell of entry.waiting?.splice(0) ?? []) tell()
    entry.waiting = undefined
  }

  const change = (entry: Entry.Entry, agent: Agent): void => {
    if (agent === entry.agent) return
    index.change(entry, agent)
    changes.note()
  }

  const goneOf = (entry: Entry.Entry): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      if (entry.gone !== undefined) {
        resume(Effect.void)
        return
      }
      const tell = () => resume(Effect.void)
      const waiting = (entry.waiting ??= [])
      waiting.push(tell)
      return Effect.sync(() => {
        const at = waiting.indexOf(tell)
        if (at !== -1) waiting.splice(at, 1)
      })
    })

  /** One claimant asks the holder to stop; whoever else wants its key waits with it. */
  const stopHolder = (holder: Entry.Entry, stop: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (holder.isStopping) return goneOf(holder)
      holder.isStopping = true
      return Effect.andThen(Effect.ignoreCause(stop), goneOf(holder)).pipe(
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

  const claim = (registration: Registration, now: number): Effect.Effect<Entry.Entry, AgentExists> => {
    const { key, onConflict } = registration
    const holder = index.get(key)
    if (holder !== undefined) {
      if (onConflict !== "replace") return Effect.fail(new AgentExists({ key, holder: holder.agent }))
      drop(holder, "replaced")
    }
    return Effect.succeed(enter(registration, now))
  }

  const keeper: Keeper = { change, drop, goneOf }

  /** In one step, so that nobody sees an entry that its scope does not end yet. */
  const settle = (registration: Registration): Effect.Effect<AgentHandle, AgentExists, Scope.Scope> =>
    Effect.clockWith((clock) => claim(registration, clock.currentTimeMillisUnsafe())).pipe(
      Effect.tap((entry) => Effect.addFinalizer(() => Effect.sync(() => drop(entry, "ended")))),
      Effect.map((entry) => new Handle(entry, keeper)),
      Effect.provideService(Scheduler.PreventSchedulerYield, true)
    )

  const register = (registration: Registration): Effect.Effect<AgentHandle, AgentExists, Scope.Scope> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() =>
        index.get(registration.key) === undefined
          ? settle(registration)
          : Effect.andThen(restore(makeRoom(registration)), settle(registration))
      )
    )

  const withEntry = <A>(key: AgentKey, use: (entry: Entry.Entry) => A): Effect.Effect<A, AgentNotFound> =>
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

  const connect = (by: number) => (entry: Entry.Entry) => {
    if (entry.gone === undefined) {
      change(entry, { ...entry.agent, connections: entry.agent.connections + by })
    }
    return entry
  }

  return Registry.of({
    register,
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

interface Keeper {
  readonly drop: (entry: Entry.Entry, reason: "left") => void
  readonly change: (entry: Entry.Entry, agent: Agent) => void
  readonly goneOf: (entry: Entry.Entry) => Effect.Effect<void>
}

/** One small object an agent, since there may be a hundred thousand of them. */
class Handle implements AgentHandle {
  readonly #entry: Entry.Entry
  readonly #keeper: Keeper

  constructor(entry: Entry.Entry, keeper: Keeper) {
    this.#entry = entry
    this.#keeper = keeper
  }

  get agent(): Agent {
    return this.#entry.agent
  }

  update(update: AgentUpdate): Effect.Effect<void, RegistrationLost> {
    return Effect.suspend(() => {
      if (this.#entry.gone !== undefined) return Effect.fail(this.#loss)
      this.#keeper.change(this.#entry, updated(this.#entry.agent, update))
      return Effect.void
    })
  }

  get lost(): Effect.Effect<RegistrationLost> {
    return Effect.map(this.#keeper.goneOf(this.#entry), () => this.#loss)
  }

  get leave(): Effect.Effect<void> {
    return Effect.sync(() => this.#keeper.drop(this.#entry, "left"))
  }

  get #loss(): RegistrationLost {
    const { agent, gone } = this.#entry
    return new RegistrationLost({ key: agent.key, reason: gone === undefined || gone === "ended" ? "left" : gone })
  }
}

export const layer = Layer.effect(Registry, make)
