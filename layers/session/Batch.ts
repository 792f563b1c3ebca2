/** What the items that a session has taken from its inbox come to, before anything is written. */
import { Clock, Effect, Result } from "effect"
import { type Command, decide } from "../../services/session/decide.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { generateTurnId } from "../../services/session/SessionId.ts"
import { NoTurn, SessionHasEnded } from "../../services/session/SessionManager.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import type { Admission } from "../../services/worker/WorkerPool.ts"
import { type Ending, type Item, type LiveSession, topicOf } from "./LiveSession.ts"

export interface Batch {
  /** As it will be, but for the journal's own stamps. */
  readonly state: SessionState
  readonly events: ReadonlyArray<SessionEvent>
  /** Answered with the state once the events are durable. */
  readonly accepted: ReadonlyArray<Extract<Item, { readonly _tag: "Decide" | "Look" }>>
  /** Answers that do not depend on the events. */
  readonly refused: ReadonlyArray<() => void>
  readonly cancels: ReadonlyArray<{ readonly turnId: string; readonly reply: Ending }>
  readonly stops: ReadonlyArray<{ readonly reason: string; readonly reply: Ending }>
  /** Places in the pool's queue, to be used once the events are durable. */
  readonly admissions: ReadonlyArray<Admission>
  /** Places of commands that were refused, to be given back. */
  readonly unused: ReadonlyArray<Admission>
}

/** What a session on its way out takes no more. Its own fibers still report. */
const isFromOutside = ({ _tag }: Command): boolean => _tag === "Send" || _tag === "Update" || _tag === "RequestCall"

/** Decides item by item, each against what those before it have made of the state. */
export const consider = Effect.fnUntraced(function* (
  live: LiveSession,
  items: ReadonlyArray<Item>
): Effect.fn.Return<Batch> {
  const topic = topicOf(live)
  const at = yield* Clock.currentTimeMillis
  let { state } = live
  const events: Array<SessionEvent> = []
  const accepted: Array<Batch["accepted"][number]> = []
  const refused: Array<() => void> = []
  const cancels: Array<Batch["cancels"][number]> = []
  const stops: Array<Batch["stops"][number]> = []
  const admissions: Array<Admission> = []
  const unused: Array<Admission> = []

  const evolve = (command: Command) => {
    const decision = decide(state, command)
    if (Result.isSuccess(decision)) {
      for (const event of decision.success) {
        events.push(event)
        state = fold(state, { topic, sequence: state.sequence + 1, at, event }) ?? state
      }
    }
    return decision
  }

  for (const item of items) {
    switch (item._tag) {
      case "Look":
        accepted.push(item)
        break
      case "Decide": {
        const decision =
          live.stopping !== undefined && isFromOutside(item.command)
            ? Result.fail(new SessionHasEnded({ sessionId: live.id }))
            : evolve(item.command)
        if (Result.isSuccess(decision)) {
          accepted.push(item)
          admissions.push(...item.admissions)
        } else {
          refused.push(() => item.reply(Effect.fail(decision.failure)))
          unused.push(...item.admissions)
        }
        break
      }
      case "CancelTurn": {
        const { reply } = item
        if (live.stopping !== undefined || state.isEnded) {
          refused.push(() => reply(Effect.fail(new SessionHasEnded({ sessionId: live.id }))))
        } else if (state.turn === undefined) {
          refused.push(() => reply(Effect.fail(new NoTurn({ sessionId: live.id }))))
        } else cancels.push({ turnId: state.turn.id, reply })
        break
      }
      case "Stop":
        stops.push({ reason: item.reason, reply: item.reply })
        break
    }
  }
  const mayStart = live.stopping === undefined && stops.length === 0
  if (mayStart && state.turn === undefined && state.waiting.length > 0) {
    evolve({ _tag: "StartTurn", turnId: yield* generateTurnId })
  }
  return { state, events, accepted, refused, cancels, stops, admissions, unused }
})
