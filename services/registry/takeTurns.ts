/** Whose turn it is among those that a strategy holds for equal: the next behind whoever had the last one. */
import type { Agent } from "./Agent.ts"
import type { AgentCursor, AgentOrder, AgentQuery } from "./AgentQuery.ts"

/** Strategies that take the first of an order; by age all are equal. */
export type TurnOrder = Extract<AgentOrder, "age" | "load" | "connections">

/** What an order compares before it compares age. */
const measureOf = (order: TurnOrder, { connections, load }: Agent): number =>
  order === "age" ? 0 : order === "load" ? load + connections : connections

/** Where to look for the next one: `first` is the first of all, `last` whoever had the turn before. */
export const placeBehind = (order: TurnOrder, first: Agent, last: AgentCursor): AgentCursor =>
  order === "age" ? last : { ...first, incarnation: last.incarnation }

/** `next` stands at that place, if anybody does. */
export const turnOf = (order: TurnOrder, first: Agent, next: Agent | undefined): Agent =>
  next !== undefined && measureOf(order, next) === measureOf(order, first) ? next : first

/** The query for the first, or for the first behind a place. */
export const askFor = (query: AgentQuery, order: TurnOrder, after?: AgentCursor): AgentQuery => ({
  ...query,
  available: true,
  order,
  after,
  limit: 1
})
