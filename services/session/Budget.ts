/**
 * What a turn and a session may use up: rounds of tool calls, tokens, money and time. Looked at before each request to
 * the model and before the calls that an answer asks for, so a limit is passed by one call at most. Where sessions work
 * side by side, `Reservation.ts` sees to that.
 */
import { Schema } from "effect"
import type { Failure } from "../Failure.ts"
import type { Usage } from "../model/Usage.ts"

const count = Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))
const money = Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)))

/** Absent: no limit, but for `steps` and `depth`, which have one always. */
export const Limits = Schema.Struct({
  /** Rounds of tool calls in one turn (default 50). */
  steps: count,
  /** How deep sub-sessions may be nested below this one (default 3). */
  depth: count,
  /** Tokens, read and written together. */
  turnTokens: count,
  sessionTokens: count,
  /** In the currency of the model's prices. */
  turnCost: money,
  sessionCost: money,
  /** Milliseconds from the turn's start, and from the session's. */
  turnTime: count,
  sessionTime: count
})
export type Limits = typeof Limits.Type

export const defaults = { steps: 50, depth: 3 } as const satisfies Limits

const least = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined ? other : other === undefined ? one : Math.min(one, other)

/** The tighter of two in each: a session may be held shorter than the server says, and never longer. */
export const tighter = (one: Limits, other: Limits): Limits => {
  const both: Record<string, number> = {}
  for (const name of Object.keys(Limits.fields) as Array<keyof Limits>) {
    const value = least(one[name], other[name])
    if (value !== undefined) both[name] = value
  }
  return both
}

export const Spending = Schema.Struct({ tokens: Schema.Finite, cost: Schema.Finite })
export type Spending = typeof Spending.Type

export const nothing: Spending = { tokens: 0, cost: 0 }

export const add = (one: Spending, other: Spending): Spending =>
  other.tokens === 0 && other.cost === 0 ? one : { tokens: one.tokens + other.tokens, cost: one.cost + other.cost }

export const spendingOf = (usage: Usage | undefined): Spending =>
  usage === undefined || (usage.inputTokens === 0 && usage.outputTokens === 0)
    ? nothing
    : { tokens: usage.inputTokens + usage.outputTokens, cost: usage.cost ?? 0 }

export interface Account {
  readonly turn: { readonly spent: Spending; readonly startedAt: number; readonly steps: number }
  readonly session: { readonly spent: Spending; readonly startedAt: number }
  readonly now: number
}

/** What was used of what may be. */
export interface Limited {
  readonly limits: Limits
  readonly account: Account
}

/** Whether tokens or money are limited at all. */
export const isMetered = ({ sessionCost, sessionTokens, turnCost, turnTokens }: Limits): boolean =>
  (sessionCost ?? sessionTokens ?? turnCost ?? turnTokens) !== undefined

/** Whether so much more would stay within the limits of tokens and money. */
export const hasRoom = ({ account: { session, turn }, limits }: Limited, more: Spending): boolean =>
  turn.spent.tokens + more.tokens <= (limits.turnTokens ?? Infinity) &&
  session.spent.tokens + more.tokens <= (limits.sessionTokens ?? Infinity) &&
  turn.spent.cost + more.cost <= (limits.turnCost ?? Infinity) &&
  session.spent.cost + more.cost <= (limits.sessionCost ?? Infinity)

const failure = (code: string, what: string): Failure => ({
  code,
  message: `${what}, which is all it may; start a new session or raise the limit to go on`
})

/** Why no more may be used, if so. */
export const exceeded = (limits: Limits, { now, session, turn }: Account): Failure | undefined => {
  const { sessionCost, sessionTime, sessionTokens, turnCost, turnTime, turnTokens } = limits
  if (turnTokens !== undefined && turn.spent.tokens >= turnTokens) {
    return failure("token_budget_exceeded", `the turn used ${turn.spent.tokens} of its ${turnTokens} tokens`)
  }
  if (sessionTokens !== undefined && session.spent.tokens >= sessionTokens) {
    return failure("token_budget_exceeded", `the session used ${session.spent.tokens} of its ${sessionTokens} tokens`)
  }
  if (turnCost !== undefined && turn.spent.cost >= turnCost) {
    return failure("cost_budget_exceeded", `the turn cost ${turn.spent.cost} of its ${turnCost}`)
  }
  if (sessionCost !== undefined && session.spent.cost >= sessionCost) {
    return failure("cost_budget_exceeded", `the session cost ${session.spent.cost} of its ${sessionCost}`)
  }
  if (turnTime !== undefined && now - turn.startedAt >= turnTime) {
    return failure("time_budget_exceeded", `the turn took ${now - turn.startedAt} of its ${turnTime} ms`)
  }
  if (sessionTime !== undefined && now - session.startedAt >= sessionTime) {
    return failure("time_budget_exceeded", `the session took ${now - session.startedAt} of its ${sessionTime} ms`)
  }
  return undefined
}

/** Why the calls of one more round may not be run, if so. */
export const stepsExceeded = ({ steps = defaults.steps }: Limits, { turn }: Account): Failure | undefined =>
  turn.steps >= steps
    ? { code: "too_many_steps", message: `the model called tools ${steps} times in one turn, which is all it may` }
    : undefined
