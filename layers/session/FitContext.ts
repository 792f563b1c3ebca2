/** Makes a conversation fit before the model is asked: by the plan, journaled, and no more than once in vain. */
import { Effect } from "effect"
import type { ModelAnswer } from "../../services/model/ModelAnswer.ts"
import { drop, REQUEST, type Strategy } from "../../services/session/Compaction.ts"
import { type Entry, summaryText } from "../../services/session/Conversation.ts"
import type { Lost } from "./CarryOut.ts"
import type * as ModelRound from "./ModelRound.ts"
import type { Count } from "./Reservations.ts"

export interface Compacted {
  readonly upTo: number
  readonly dropped: number
  readonly summary?: string | undefined
  readonly answer?: ModelAnswer | undefined
}

export interface Surroundings {
  readonly strategy: Strategy
  /** Asks the model, without tools. */
  readonly ask: (entries: ReadonlyArray<Entry>) => Effect.Effect<ModelRound.Answer, ModelRound.TurnFailed>
  /** Makes a call that shows these, when there is room for it in the budget. */
  readonly afford: <A, E>(
    entries: ReadonlyArray<Entry>,
    call: (count: Count) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | ModelRound.TurnFailed>
  readonly journal: (compacted: Compacted) => Effect.Effect<void, Lost>
}

/** For one turn: it remembers that a summary could not be had, and does without. */
export const make = ({ afford, ask, journal, strategy }: Surroundings) => {
  let isVain = false

  /** None when it cannot be had. */
  const sumUp = Effect.fnUntraced(function* (shown: ReadonlyArray<Entry>, upTo: number, count: Count) {
    const asked = yield* Effect.result(ask(shown))
    if (asked._tag === "Failure" || asked.success.broken !== undefined || asked.success.text.trim() === "") {
      return undefined
    }
    const { answer, text } = asked.success
    count(answer)
    yield* journal({ upTo, dropped: 0, summary: text, answer })
    return text
  })

  const summarise = Effect.fnUntraced(function* (entries: ReadonlyArray<Entry>, upTo: number) {
    const older = entries.filter(({ sequence }) => sequence <= upTo)
    const request: Entry = { _tag: "User", text: REQUEST, sequence: upTo }
    const shown = [...older, request]
    const text = yield* afford(shown, (count) => sumUp(shown, upTo, count)).pipe(
      Effect.catchTag("TurnFailed", () => Effect.undefined)
    )
    if (text === undefined) {
      isVain = true
      return undefined
    }
    const summary: Entry = { _tag: "User", text: summaryText(text), sequence: upTo }
    return [summary, ...entries.filter(({ sequence }) => sequence > upTo)]
  })

  const fit = Effect.fnUntraced(function* (
    entries: ReadonlyArray<Entry>
  ): Effect.fn.Return<ReadonlyArray<Entry>, Lost> {
    const plan = strategy.plan(entries)
    if (plan._tag === "Fits") return entries
    if (plan._tag === "DropResults") {
      const { dropped, upTo } = plan
      yield* journal({ upTo, dropped })
      return drop(entries, upTo)
    }
    return isVain ? entries : ((yield* summarise(entries, plan.upTo)) ?? entries)
  })

  return fit
}
