/** What may be asked of the registry, and which agents answer it. */
import { Schema } from "effect"
import type { SessionId } from "../session/SessionId.ts"
import { type Agent, AgentKey, type AgentStatus, isAvailable } from "./Agent.ts"

/**
 * `age`: the oldest first. `key`: by session, role and index. `load`: those that take work first, then by what they have
 * to do. `connections`: likewise, by what is routed to them. Equals stand by age.
 */
export const AgentOrder = Schema.Literals(["age", "key", "load", "connections"])
export type AgentOrder = typeof AgentOrder.Type

/** A place in an order: the last agent of a page, or what of it tells the place. */
export const AgentCursor = Schema.Struct({
  key: AgentKey,
  incarnation: Schema.Int,
  status: Schema.String,
  load: Schema.Finite,
  connections: Schema.Int
})
export interface AgentCursor extends Pick<Agent, "key" | "incarnation" | "load" | "connections"> {
  readonly status: string
}

/** Which agents are meant: all that is given must hold. */
export interface AgentFilter {
  readonly session?: SessionId | undefined
  readonly role?: string | undefined
  /** One, or all of several. */
  readonly tag?: string | ReadonlyArray<string> | undefined
  readonly capability?: string | ReadonlyArray<string> | undefined
  readonly status?: AgentStatus | undefined
  /** Only those that work may be routed to. */
  readonly available?: boolean | undefined
  /** Not this one: whoever asks for others. */
  readonly except?: AgentKey | undefined
  /** Labels that must have these values. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

export interface AgentQuery extends AgentFilter {
  /** Default `age`. */
  readonly order?: AgentOrder | undefined
  /** Only those behind this one in the order: the last of the page before. */
  readonly after?: AgentCursor | undefined
  /** Default 100. */
  readonly limit?: number | undefined
}

const none: ReadonlyArray<string> = []

export const namesOf = (names: string | ReadonlyArray<string> | undefined): ReadonlyArray<string> =>
  names === undefined ? none : typeof names === "string" ? [names] : names

const hasAll = (of: ReadonlyArray<string>, wanted: string | ReadonlyArray<string> | undefined): boolean =>
  wanted === undefined || (typeof wanted === "string" ? of.includes(wanted) : wanted.every((name) => of.includes(name)))

const isSame = (one: AgentKey, other: AgentKey): boolean =>
  one.session === other.session && one.role === other.role && one.index === other.index

const isLabelled = ({ metadata }: Agent, wanted: Readonly<Record<string, string>>): boolean => {
  for (const name in wanted) if (!Object.hasOwn(metadata, name) || metadata[name] !== wanted[name]) return false
  return true
}

export const fits = (agent: Agent, filter: AgentFilter): boolean =>
  (filter.session === undefined || agent.key.session === filter.session) &&
  (filter.role === undefined || agent.key.role === filter.role) &&
  (filter.status === undefined || agent.status === filter.status) &&
  (filter.available !== true || isAvailable(agent)) &&
  hasAll(agent.tags, filter.tag) &&
  hasAll(agent.capabilities, filter.capability) &&
  (filter.except === undefined || !isSame(agent.key, filter.except)) &&
  (filter.metadata === undefined || isLabelled(agent, filter.metadata))

type Compare = (one: AgentCursor, other: AgentCursor) => number

const takesWork = (agent: AgentCursor): number => (isAvailable(agent) ? 0 : 1)
const byAge: Compare = (one, other) => one.incarnation - other.incarnation
const byText = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)

/** Total orders: two agents that are alive never stand at the same place. */
export const agentOrders: Readonly<Record<AgentOrder, Compare>> = {
  age: byAge,
  key: ({ key: one }, { key: other }) =>
    byText(one.session, other.session) || byText(one.role, other.role) || one.index - other.index,
  load: (one, other) =>
    takesWork(one) - takesWork(other) ||
    one.load + one.connections - other.load - other.connections ||
    byAge(one, other),
  connections: (one, other) =>
    takesWork(one) - takesWork(other) || one.connections - other.connections || byAge(one, other)
}

/** A filter in words: `capability search, tag green`. */
export const describeFilter = ({ capability, metadata, role, session, status, tag }: AgentFilter): string => {
  const words = [
    ...(session === undefined ? [] : [`session ${session}`]),
    ...(role === undefined ? [] : [`role ${role}`]),
    ...namesOf(capability).map((name) => `capability ${name}`),
    ...namesOf(tag).map((name) => `tag ${name}`),
    ...(status === undefined ? [] : [`status ${status}`]),
    ...Object.entries(metadata ?? {}).map(([name, value]) => `${name}=${value}`)
  ]
  return words.length === 0 ? "any agent" : words.join(", ")
}
