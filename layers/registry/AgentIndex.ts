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

/** A session's agents. Nearly always there is the main one alone, so it has a place of its own. */
interface OfSession {
  main: Entry | undefined
  others: Map<string, Entry> | undefined
}

const placeOf = ({ index, role }: AgentKey) => `${role}/${index}`

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

  get(key: AgentKey): Entry | undefined {
    const session = this.#sessions.get(key.session)
    if (session === undefined) return undefined
    return isMain(key) ? session.main : session.others?.get(placeOf(key))
  }

  /** The key must be free. */
  add(entry: Entry): void {
    const { capabilities, key, status, tags } = entry.agent
    let session = this.#sessions.get(key.session)
    if (session === undefined) this.#sessions.set(key.session, (session = { main: undefined, others: undefined }))
    if (isMain(key)) session.main = entry
    else (session.others ??= new Map()).set(placeOf(key), entry)
    this.#all.add(entry)
    join(this.#roles, key.role, entry)
    join(this.#statuses, status, entry)
    joinAll(this.#tags, tags, entry, none)
    joinAll(this.#capabilities, capabilities, entry, none)
  }

  remove(entry: Entry): void {
    const { capabilities, key, status, tags } = entry.agent
    const session = this.#sessions.get(key.session)
    if (session === undefined || this.get(key) !== entry) return
    if (isMain(key)) session.main = undefined
    else session.others?.delete(placeOf(key))
    if (session.main === undefined && (session.others?.size ?? 0) === 0) this.#sessions.delete(key.session)
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
    const others = session.others === undefined ? [] : Array.from(session.others.values())
    return session.main === undefined ? others : [session.main, ...others]
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
