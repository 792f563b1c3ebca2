/**
 * How a conversation is made to fit into a budget of tokens. What takes most room and is missed least goes first: the
 * oldest results of tools. When that is not enough, the model is asked to sum up the turns before the current one.
 * Either is an event, so a turn that is taken up again shows the model the same.
 */
import { Context } from "effect"
import { type Entry, sizeOf } from "./Conversation.ts"

/** Characters that make a token, on average and on the safe side. */
export const PER_TOKEN = 4
/** Rounds of tool calls, the newest, whose results stay. */
const KEPT_ROUNDS = 2
/** How full the budget is to be after it: not so full that the next round does it again. */
const GOAL = 0.7

export type Plan =
  | { readonly _tag: "Fits" }
  /** The results of calls up to this sequence are left out. */
  | { readonly _tag: "DropResults"; readonly upTo: number; readonly dropped: number }
  /** What stands up to this sequence is summed up. */
  | { readonly _tag: "Summarise"; readonly upTo: number }

const fits: Plan = { _tag: "Fits" }

export const estimate = (entries: ReadonlyArray<Entry>): number =>
  Math.ceil(entries.reduce((sum, entry) => sum + sizeOf(entry), 0) / PER_TOKEN)

const hasResults = (entry: Entry): boolean =>
  entry._tag === "Assistant" && entry.calls.some(({ isDropped }) => !isDropped)

export const withoutResults = (entry: Entry): Entry =>
  entry._tag === "User" ? entry : { ...entry, calls: entry.calls.map((call) => ({ ...call, isDropped: true })) }

/** As it is after its results up to `upTo` were dropped. */
export const drop = (entries: ReadonlyArray<Entry>, upTo: number): Array<Entry> =>
  entries.map((entry) => (entry.sequence <= upTo && hasResults(entry) ? withoutResults(entry) : entry))

export const planWithin = (entries: ReadonlyArray<Entry>, budget: number): Plan => {
  let tokens = estimate(entries)
  if (tokens <= budget) return fits
  const rounds = entries.filter(hasResults)
  const oldest = rounds.slice(0, Math.max(0, rounds.length - KEPT_ROUNDS))
  let upTo = 0
  let dropped = 0
  for (const entry of oldest) {
    if (tokens <= budget * GOAL) break
    tokens -= estimate([entry]) - estimate([withoutResults(entry)])
    upTo = entry.sequence
    dropped += entry._tag === "Assistant" ? entry.calls.filter(({ isDropped }) => !isDropped).length : 0
  }
  if (dropped > 0 && tokens <= budget) return { _tag: "DropResults", upTo, dropped }
  const current = entries.findLastIndex(({ _tag }) => _tag === "User")
  const before = entries[current - 1]
  if (before !== undefined) return { _tag: "Summarise", upTo: before.sequence }
  return dropped > 0 ? { _tag: "DropResults", upTo, dropped } : fits
}

export interface Strategy {
  /** What the model is shown at most, when the plan does not get there. */
  readonly tokens: number
  readonly plan: (entries: ReadonlyArray<Entry>) => Plan
}

export const within = (tokens: number): Strategy => ({ tokens, plan: (entries) => planWithin(entries, tokens) })

/** Tokens of a conversation, when nothing else is said. */
export const TOKENS = 100_000

/** To be replaced by one's own. */
export const Compaction = Context.Reference<Strategy>("espalier/session/Compaction", {
  defaultValue: () => within(TOKENS)
})

/** What the model is asked, after all that is to be summed up. */
export const REQUEST =
  "Sum up the conversation so far for yourself, so that you can go on without it: what was asked and decided, what was done and found out, names, paths and numbers that matter, and what is left to do. Write nothing but the summary."
