/** What a turn may ask of its session, and how a session does it. */
import { Effect } from "effect"
import type { EventBus } from "../../services/events/EventBus.ts"
import { type AssistantText, Command, type RequestedCall } from "../../services/session/decide.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import { type CallId, generateMessageId } from "../../services/session/SessionId.ts"
import type { SessionInterrupted } from "../../services/session/SessionManager.ts"
import type { CurrentTurn } from "../../services/session/SessionState.ts"
import type { Admission, WorkerPool } from "../../services/worker/WorkerPool.ts"
import {
  type Life,
  type LiveSession,
  outcomeOf,
  persist,
  report,
  type RunningTurn,
  submit,
  topicOf
} from "./LiveSession.ts"
import * as ToolRunner from "./ToolRunner.ts"
import type { PlannedCall } from "./PlanCall.ts"
import type { Host } from "./Turn.ts"

/** Takes what was said since the last settled step, so that it is journaled once. */
export const takeDraft = (turn: RunningTurn | undefined): Effect.Effect<AssistantText | undefined> => {
  if (turn === undefined || turn.draft === "") return Effect.undefined
  const text = turn.draft
  turn.draft = ""
  return Effect.map(generateMessageId, (messageId) => ({ messageId, text }))
}

/** Holds places in the pool's queue for the heavy calls; one that finds the queue full is refused. */
const admit = Effect.fnUntraced(function* (
  pool: WorkerPool["Service"],
  live: LiveSession,
  calls: ReadonlyArray<PlannedCall>
) {
  const admissions: Array<Admission> = []
  const requested: Array<RequestedCall> = []
  for (const call of calls) {
    const { args, callId, tool } = call
    if (call.refused !== undefined) requested.push({ callId, tool, args, outcome: call.refused })
    else if (call.runs.annotations.weight === "fast") requested.push({ callId, tool, args })
    else {
      const request = yield* pool.admit({ sessionId: live.id, callId, tool: call.runs, args }).pipe(
        Effect.map((admission): RequestedCall => {
          admissions.push(admission)
          return { callId, tool, args, workerId: admission.workerId }
        }),
        Effect.catch(({ message }) =>
          Effect.succeed<RequestedCall>({ callId, tool, args, outcome: ToolRunner.failed("pool_saturated", message) })
        )
      )
      requested.push(request)
    }
  }
  return { admissions, requested }
})

export const make = (
  bus: EventBus["Service"],
  pool: WorkerPool["Service"],
  { inbox, live }: Life,
  turn: RunningTurn,
  current: CurrentTurn
): Host => ({
  sessionId: live.id,
  turn: current,
  state: () => live.state,
  say: (text) => {
    turn.draft += text
    return bus.publishEphemeral(topicOf(live), { _tag: "TextDelta", turnId: turn.id, text })
  },
  request: (text, calls, answer) => {
    const prepare = Effect.map(admit(pool, live, calls), ({ admissions, requested }) => {
      const outcomes = new Map<CallId, Effect.Effect<ToolOutcome, SessionInterrupted>>()
      for (const { callId, outcome, workerId } of requested) {
        if (outcome !== undefined) outcomes.set(callId, Effect.succeed(outcome))
        else if (workerId !== undefined) outcomes.set(callId, outcomeOf(live, callId))
      }
      turn.draft = ""
      return {
        admissions,
        command: Command.RequestCalls({ turnId: turn.id, text, calls: requested, answer }),
        outcomes
      }
    })
    return persist(Effect.map(submit(live, inbox, prepare), ({ outcomes }) => outcomes))
  },
  settle: (callId, outcome) => Effect.asVoid(report(live, inbox, Command.SettleCall({ callId, outcome }))),
  outcomeOf: (callId) => outcomeOf(live, callId),
  end: (outcome, text, failure, answer) =>
    Effect.flatMap(takeDraft(turn), (draft) =>
      Effect.asVoid(
        report(live, inbox, Command.EndTurn({ turnId: turn.id, outcome, text: text ?? draft, failure, answer }))
      )
    )
})
