/**
 * Agents by key, and by session, role, status, tag and capability.
 *
 * A query walks the smallest of the groups that it names, in the order that it asks for and from where it asks to
 * begin, and stops at its limit.
 */
import { type Agent, type AgentKey, isMain } from "../../services/registry/Agent.ts"
import { type AgentFilter, type AgentQuery, namesOf, fits, agentOrders } from "../../services/registry/AgentQuery.ts"
import type { Entry } from "./Entry.ts"
import { Group } from "./Group.ts"

type Groups = Map<string, Group>

const join = (groups: Groups, name: string, entry: Entry) => {
  let group = groups.get(name)
  if (group === undefined) groups.set(name, (group = new Group()))
  group.add(entry)
}

const leave = (groups: Groups, name: string, entry: Entry) => {
  const group = groups.get(name)
  if (group === undefined) return
  group.delete(entry)
  if (group.size === 0) groups.delete(name)
}

const joinAll = (groups: Groups, names: ReadonlyArray<string>, entry: Entry, but: ReadonlyArray<string>) => {
  for (const name of names) if (!but.includes(name)) join(groups, name, entry)
}

const leaveAll = (groups: Groups, names: ReadonlyArray<string>, entry: Entry, but: ReadonlyArray<string>) => {
  for (const name of names) if (!but.includes(name)) leave(groups, name, entry)
}

const none: ReadonlyArray<string> = []

/** A session's agents: nearly always there is one alone, which then needs no map. */
type OfSession = Entry | Map<string, Entry>

const placeOf = (key: AgentKey) => (isMain(key) ? "main/0" : `${key.role}/${key.index}`)

const isSame = (one: AgentKey, other: AgentKey): boolean => one.index === other.index && one.role === other.role

export class AgentIndex {
  readonly #all = new Group()
  readonly #sessions = new Map<string, OfSession>()
  readonly #roles: Groups = new Map()
  readonly #statuses: Groups = new Map()
  readonly #tags: Groups = new Map()
  readonly #capabilities: Groups = new Map()

  get size(): number {
    return this.#all.size
  }

  /** Of these, whatever has become of another index of theirs. */
  static of(entries: Iterable<Entry>): AgentIndex {
    const index = new AgentIndex()
    for (const entry of entries) index.add(entry)
    return index
  }

  /** As they stand by their keys. */
  *entries(): Iterable<Entry> {
    for (const session of this.#sessions.values()) {
      if (session instanceof Map) yield* session.values()
      else yield session
    }
  }

  get(key: AgentKey): Entry | undefined {
    const session = this.#sessions.get(key.session)
    if (session === undefined) return undefined
    if (session instanceof Map) return session.get(placeOf(key))
    return isSame(session.agent.key, key) ? session : undefined
  }

  /** The key must be free. */
  add(entry: Entry): void {
    const { capabilities, key, status, tags } = entry.agent
    const session = this.#sessions.get(key.session)
    if (session === undefined) this.#sessions.set(key.session, entry)
    else if (session instanceof Map) session.set(placeOf(key), entry)
    else {
      const both = [session, entry].map((one) => [placeOf(one.agent.key), one] as const)
      this.#sessions.set(key.session, new Map(both))
    }
    this.#all.add(entry)
    join(this.#roles, key.role, entry)
    join(this.#statuses, status, entry)
    joinAll(this.#tags, tags, entry, none)
    joinAll(this.#capabilities, capabilities, entry, none)
  }

  remove(entry: Entry): void {
    const { capabilities, key, status, tags } = entry.agent
    if (this.get(key) !== entry) return
    const session = this.#sessions.get(key.session)
    if (session instanceof Map) {
      session.delete(placeOf(key))
      const [last] = session.values()
      if (session.size === 1 && last !== undefined) this.#sessions.set(key.session, last)
    } else this.#sessions.delete(key.session)
    this.#all.delete(entry)
    leave(this.#roles, key.role, entry)
    leave(this.#statuses, status, entry)
    leaveAll(this.#tags, tags, entry, none)
    leaveAll(this.#capabilities, capabilities, entry, none)
  }

  /** Another value for the same agent, with the key and the incarnation that it has. */
  change(entry: Entry, agent: Agent): void {
    const { capabilities, key, status, tags } = entry.agent
    if (tags !== agent.tags) leaveAll(this.#tags, tags, entry, agent.tags)
    if (capabilities !== agent.capabilities) leaveAll(this.#capabilities, capabilities, entry, agent.capabilities)
    if (status !== agent.status) leave(this.#statuses, status, entry)
    const moved =
      status !== agent.status || entry.agent.load !== agent.load || entry.agent.connections !== agent.connections
        ? this.#orderedByLoad(entry.agent, key.role, agent)
        : []
    for (const group of moved) group.takeOut(entry)
    const before = entry.agent
    entry.agent = agent
    for (const group of moved) group.putBack(entry)
    if (status !== agent.status) join(this.#statuses, agent.status, entry)
    if (tags !== agent.tags) joinAll(this.#tags, agent.tags, entry, before.tags)
    if (capabilities !== agent.capabilities) {
      joinAll(this.#capabilities, agent.capabilities, entry, before.capabilities)
    }
  }

  find({ after, limit = 100, order = "age", ...filter }: AgentQuery): ReadonlyArray<Agent> {
    const found: Array<Agent> = []
    if (limit <= 0) return found
    const visit = ({ agent }: Entry): boolean => {
      if (fits(agent, filter)) found.push(agent)
      return found.length < limit
    }
    if (filter.session === undefined) {
      this.#smallest(filter)?.in(order).walk(after, visit)
      return found
    }
    // A session has few agents: nothing that could be named beside it is worth more.
    const compare = agentOrders[order]
    for (const entry of this.#ofSession(filter.session).sort((one, other) => compare(one.agent, other.agent))) {
      if (after !== undefined && compare(entry.agent, after) <= 0) continue
      if (!visit(entry)) break
    }
    return found
  }

  /** Agents to look for fitting ones among: how many there are, and each by its number. */
  among(filter: AgentFilter): { readonly size: number; readonly at: (position: number) => Agent | undefined } {
    if (filter.session !== undefined) {
      const entries = this.#ofSession(filter.session)
      return { size: entries.length, at: (position) => entries[position]?.agent }
    }
    const entries = this.#smallest(filter)?.in("age")
    return { size: entries?.size ?? 0, at: (position) => entries?.at(position)?.agent }
  }

  /** The smallest group that has all who fit; `undefined` if none can. */
  #smallest({ capability, role, status, tag }: AgentFilter): Group | undefined {
    let smallest = this.#all
    let isEmpty = false
    const consider = (group: Group | undefined) => {
      if (group === undefined) isEmpty = true
      else if (group.size < smallest.size) smallest = group
    }
    if (role !== undefined) consider(this.#roles.get(role))
    if (status !== undefined) consider(this.#statuses.get(status))
    for (const name of namesOf(tag)) consider(this.#tags.get(name))
    for (const name of namesOf(capability)) consider(this.#capabilities.get(name))
    return isEmpty ? undefined : smallest
  }

  #ofSession(id: string): Array<Entry> {
    const session = this.#sessions.get(id)
    if (session === undefined) return []
    return session instanceof Map ? Array.from(session.values()) : [session]
  }

  /** The groups that an agent stays in and that stand in an order that its load or status is part of. */
  #orderedByLoad(before: Agent, role: string, after: Agent): ReadonlyArray<Group> {
    const groups: Array<Group> = []
    const consider = (group: Group | undefined) => {
      if (group?.isOrderedByLoad === true) groups.push(group)
    }
    consider(this.#all)
    consider(this.#roles.get(role))
    if (before.status === after.status) consider(this.#statuses.get(after.status))
    for (const name of before.tags) if (after.tags.includes(name)) consider(this.#tags.get(name))
    for (const name of before.capabilities) {
      if (after.capabilities.includes(name)) consider(this.#capabilities.get(name))
    }
    return groups
  }
}
