/**
 * Agents by key, and by session, role, tag and capability in the order in which they registered.
 *
 * A query walks the smallest of the sets that it names and stops at its limit.
 */
import type { Agent, AgentKey } from "../../services/registry/Agent.ts"
import type { AgentQuery, AgentUpdate } from "../../services/registry/Registry.ts"

/** A live registration. */
export interface Entry {
  /** Counts registrations: the order of results. */
  readonly number: number
  agent: Agent
}

/**
 * Entries in order of registration. They arrive in it, except when an update gives an older agent a new tag: then
 * the set is put in order again by the next query that walks it.
 */
class Entries {
  private members = new Set<Entry>()
  private last = 0
  private isOrdered = true

  get size(): number {
    return this.members.size
  }

  add(entry: Entry): void {
    if (entry.number < this.last) this.isOrdered = false
    else this.last = entry.number
    this.members.add(entry)
  }

  delete(entry: Entry): void {
    this.members.delete(entry)
  }

  inOrder(): Iterable<Entry> {
    if (!this.isOrdered) {
      this.members = new Set([...this.members].sort((one, other) => one.number - other.number))
      this.isOrdered = true
    }
    return this.members
  }
}

type Groups = Map<string, Entries>

const join = (groups: Groups, name: string, entry: Entry) => {
  let entries = groups.get(name)
  if (entries === undefined) groups.set(name, (entries = new Entries()))
  entries.add(entry)
}

const leave = (groups: Groups, name: string, entry: Entry) => {
  const entries = groups.get(name)
  if (entries === undefined) return
  entries.delete(entry)
  if (entries.size === 0) groups.delete(name)
}

/** Moves an entry from the groups it was in to those it belongs to now; where it stays, it keeps its place. */
const regroup = (groups: Groups, from: ReadonlyArray<string>, to: ReadonlyArray<string>, entry: Entry) => {
  if (from === to) return
  for (const name of from) if (!to.includes(name)) leave(groups, name, entry)
  for (const name of to) if (!from.includes(name)) join(groups, name, entry)
}

/** A session's agents. Nearly always there is the main one alone, so it has a place of its own. */
interface OfSession {
  main: Entry | undefined
  others: Map<string, Entry> | undefined
}

const isMain = ({ index, role }: AgentKey) => index === 0 && role === "main"
const placeOf = ({ index, role }: AgentKey) => `${role}/${index}`

export class AgentIndex {
  private readonly all = new Entries()
  private readonly sessions = new Map<string, OfSession>()
  private readonly roles: Groups = new Map()
  private readonly tags: Groups = new Map()
  private readonly capabilities: Groups = new Map()

  get size(): number {
    return this.all.size
  }

  get(key: AgentKey): Entry | undefined {
    const session = this.sessions.get(key.session)
    if (session === undefined) return undefined
    return isMain(key) ? session.main : session.others?.get(placeOf(key))
  }

  /** The key must be free. */
  add(entry: Entry): void {
    const { key } = entry.agent
    let session = this.sessions.get(key.session)
    if (session === undefined) this.sessions.set(key.session, (session = { main: undefined, others: undefined }))
    if (isMain(key)) session.main = entry
    else (session.others ??= new Map()).set(placeOf(key), entry)
    this.all.add(entry)
    join(this.roles, key.role, entry)
    regroup(this.tags, [], entry.agent.tags, entry)
    regroup(this.capabilities, [], entry.agent.capabilities, entry)
  }

  remove(entry: Entry): void {
    const { key } = entry.agent
    if (this.get(key) !== entry) return
    const session = this.sessions.get(key.session)
    if (session === undefined) return
    if (isMain(key)) session.main = undefined
    else session.others?.delete(placeOf(key))
    if (session.main === undefined && (session.others?.size ?? 0) === 0) this.sessions.delete(key.session)
    this.all.delete(entry)
    leave(this.roles, key.role, entry)
    regroup(this.tags, entry.agent.tags, [], entry)
    regroup(this.capabilities, entry.agent.capabilities, [], entry)
  }

  update(entry: Entry, update: AgentUpdate): void {
    const { agent } = entry
    const tags = update.tags === undefined ? agent.tags : [...new Set(update.tags)]
    const capabilities = update.capabilities === undefined ? agent.capabilities : [...new Set(update.capabilities)]
    regroup(this.tags, agent.tags, tags, entry)
    regroup(this.capabilities, agent.capabilities, capabilities, entry)
    entry.agent = {
      ...agent,
      tags,
      capabilities,
      status: update.status ?? agent.status,
      metadata: update.metadata ?? agent.metadata
    }
  }

  find({ capability, limit = 100, role, session, tag }: AgentQuery): ReadonlyArray<Agent> {
    const found: Array<Agent> = []
    for (const { agent } of this.candidates({ capability, role, session, tag })) {
      if (found.length >= limit) break
      if (
        (session === undefined || agent.key.session === session) &&
        (role === undefined || agent.key.role === role) &&
        (tag === undefined || agent.tags.includes(tag)) &&
        (capability === undefined || agent.capabilities.includes(capability))
      ) {
        found.push(agent)
      }
    }
    return found
  }

  private candidates(query: AgentQuery): Iterable<Entry> {
    // A session has few agents: nothing that could be named beside it is worth more.
    if (query.session !== undefined) return this.ofSession(query.session)
    const named: Array<Entries | undefined> = []
    if (query.role !== undefined) named.push(this.roles.get(query.role))
    if (query.tag !== undefined) named.push(this.tags.get(query.tag))
    if (query.capability !== undefined) named.push(this.capabilities.get(query.capability))
    let smallest = this.all
    for (const entries of named) {
      if (entries === undefined) return []
      if (entries.size < smallest.size) smallest = entries
    }
    return smallest.inOrder()
  }

  private ofSession(id: string): Iterable<Entry> {
    const session = this.sessions.get(id)
    if (session === undefined) return []
    const others = session.others === undefined ? [] : [...session.others.values()]
    if (session.main === undefined) return others
    return others.length === 0
      ? [session.main]
      : [session.main, ...others].sort((one, other) => one.number - other.number)
  }
}
