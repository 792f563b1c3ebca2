/**
 * Whether a call to the model may begin beside others while a budget is kept: what it may take is not known before it
 * has ended, so it is estimated, and what those under way may take counts as if it had been used.
 */
import type { Price } from "../model/Usage.ts"
import * as Budget from "./Budget.ts"

/** Tokens of an answer of which no limit is known, with the definitions of the tools before it. */
export const ANSWER = 16_384

/** What is known of a call before it has ended, in tokens. */
export interface Size {
  /** What the model is shown: four characters count as one. */
  readonly shown: number
  /** What it may answer with, if there is a limit. */
  readonly answer?: number | undefined
}

/** What the calls of a tree have taught about those that come. */
export interface Seen {
  /** Most that one of them took. */
  readonly tokens: number
  readonly cost: number
  /** Most that one of them took beyond what it was shown. */
  readonly beyond: number
  /** Most that a token of one of them cost; unknown before the first has ended. */
  readonly rate: number | undefined
}

export const unseen: Seen = { tokens: 0, cost: 0, beyond: 0, rate: undefined }

export const see = (seen: Seen, { shown }: Size, { cost, tokens }: Budget.Spending): Seen =>
  tokens === 0
    ? seen
    : {
        tokens: Math.max(seen.tokens, tokens),
        cost: Math.max(seen.cost, cost),
        beyond: Math.max(seen.beyond, tokens - shown),
        rate: Math.max(seen.rate ?? 0, cost / tokens)
      }

const MILLION = 1_000_000

/** What it costs by the dearest of the prices, beyond what is shown as an answer. */
const priced = (prices: ReadonlyArray<Price>, tokens: number, shown: number): number =>
  prices.reduce(
    (most, { cacheWrite = 0, input, output }) =>
      Math.max(most, (shown * Math.max(input, cacheWrite) + (tokens - shown) * Math.max(input, output)) / MILLION),
    0
  )

/** No less than any call before it; while it is not known what tokens cost, more than any budget. */
export const estimate = (
  seen: Seen,
  { answer = ANSWER, shown }: Size,
  prices: ReadonlyArray<Price> = []
): Budget.Spending => {
  const tokens = Math.max(seen.tokens, shown + Math.max(answer, seen.beyond))
  if (seen.rate === undefined && prices.length === 0) return { tokens, cost: Infinity }
  return { tokens, cost: Math.max(seen.cost, (seen.rate ?? 0) * tokens, priced(prices, tokens, shown)) }
}

/**
 * Alone it always may, as long as no budget is used up: that is the one call by which a budget is passed. Beside others
 * it may only if there is room for all of them.
 */
export const mayBegin = (
  accounts: ReadonlyArray<Budget.Limited>,
  seen: Seen,
  underway: ReadonlyArray<Size>,
  next: Size,
  prices: ReadonlyArray<Price>
): boolean => {
  if (underway.length === 0) return true
  const most = underway.reduce(
    (sum, size) => Budget.add(sum, estimate(seen, size, prices)),
    estimate(seen, next, prices)
  )
  return accounts.every((account) => Budget.hasRoom(account, most))
}
