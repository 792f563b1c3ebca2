/** What a turn may ask of its session, and how a session does it. */
import { Clock, Effect } from "effect"
import type { EventBus } from "../../services/events/EventBus.ts"
import { codeOf } from "../../services/gateway/ErrorCodes.ts"
import { MAX_LIVE } from "../../services/session/SubSession.ts"
import * as Budget from "../../services/session/Budget.ts"
import { type AssistantText, Command, type RequestedCall } from "../../services/session/decide.ts"
import type { PermissionId } from "../../services/permission/Permission.ts"
import { type CallId, generateMessageId } from "../../services/session/SessionId.ts"
import type { CurrentTurn } from "../../services/session/SessionState.ts"
import type { PoolRefusal, WorkerPool } from "../../services/worker/WorkerPool.ts"
import { isElsewhere, type Place, type Ready } from "./CarryOut.ts"
import {
  answerOf,
  atTime,
  type Attachment,
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
import type { Reservations } from "./Reservations.ts"
import { conceive, type Others } from "./SubSessions.ts"
import { overBudget } from "./treeBudget.ts"
import type { Host } from "./Turn.ts"

/** Takes what was said since the last settled step, so that it is journaled once. */
export const takeDraft = (turn: RunningTurn | undefined): Effect.Effect<AssistantText | undefined> => {
  if (turn === undefined || turn.draft === "") return Effect.undefined
  const text = turn.draft
  turn.draft = ""
  return Effect.map(generateMessageId, (messageId) => ({ messageId, text }))
}

/** Lets a sub-session begin for a call, unless there are as many as there may be. */
const delegate = Effect.fnUntraced(function* (
  live: LiveSession,
  budget: Budget.Limits,
  { args, callId, runs }: Ready,
  begun: number
) {
  const { agentType, limits, parent, subs } = live.state
  const { depth = Budget.defaults.depth } = limits === undefined ? budget : Budget.tighter(budget, limits)
  if ((parent?.depth ?? 0) >= depth) {
    const refused = ToolRunner.failed(
      "too_deep",
      `agents are nested ${depth} deep, which is all they may; do it yourself`
    )
    return { refused }
  }
  if (subs.length + begun >= MAX_LIVE) {
    const message = `${MAX_LIVE} agents are at work, which is all there may be; wait for one to end`
    return { refused: ToolRunner.failed("too_many_sub_sessions", message) }
  }
  const task = runs.delegates?.(args)
  if (task === undefined) return { refused: ToolRunner.failed("invalid_input", `${runs.name} was told no task`) }
  return yield* conceive(live, {
    task: task.task,
    title: task.task.slice(0, 100),
    agentType: task.agentType ?? agentType,
    deadline: task.deadline,
    callId
  })
})

const refusedBy = (refusal: PoolRefusal) => ToolRunner.failed(codeOf(refusal).code, refusal.message)

/** Holds places in the pool's queue for the heavy calls; one that the pool refuses is settled with its reason. */
const admit = Effect.fnUntraced(function* (
  pool: WorkerPool["Service"],
  live: LiveSession,
  budget: Budget.Limits,
  calls: ReadonlyArray<PlannedCall>
) {
  /** Sub-sessions that begin with this step. */
  let begun = 0
  const admissions: Array<Attachment> = []
  const requested: Array<RequestedCall> = []
  for (const call of calls) {
    const { args, callId, tool } = call
    if (call.refused !== undefined) requested.push({ callId, tool, args, outcome: call.refused })
    else if (call.asks !== undefined) requested.push({ callId, tool, args, asks: call.asks })
    else if (!isElsewhere(call.runs)) requested.push({ callId, tool, args })
    else if (call.runs.delegates !== undefined) {
      const placed = yield* delegate(live, budget, call, begun)
      if ("refused" in placed) requested.push({ callId, tool, args, outcome: placed.refused })
      else {
        begun++
        admissions.push(placed.attachment)
        requested.push({ callId, tool, args, child: placed.child })
      }
    } else {
      const task = { sessionId: live.id, callId, tool: call.runs, args, key: live.state.agentType }
      const request = yield* pool.admit(task).pipe(
        Effect.map((admission): RequestedCall => {
          admissions.push(admission)
          return { callId, tool, args, workerId: admission.workerId }
        }),
        Effect.catch((refusal) => Effect.succeed<RequestedCall>({ callId, tool, args, outcome: refusedBy(refusal) }))
      )
      requested.push(request)
    }
  }
  return { admissions, requested }
})

/** The answer of a person, or after its time that there was none. */
const asked = (
  life: Life,
  callId: CallId,
  { expiresAt, permissionId }: { readonly permissionId: PermissionId; readonly expiresAt: number }
): Place => {
  const { live } = life
  const expire = atTime(life, expiresAt, (now) => Command.ExpirePermission({ permissionId, now }))
  return {
    answer: Effect.raceFirst(answerOf(live, callId), expire),
    outcome: outcomeOf(live, callId)
  }
}

export const make = (
  bus: EventBus["Service"],
  pool: WorkerPool["Service"],
  budget: Budget.Limits,
  others: Pick<Others, "stateOf">,
  reservations: Reservations,
  life: Life,
  turn: RunningTurn,
  current: CurrentTurn
): Host => {
  const { inbox, live } = life
  return {
    sessionId: live.id,
    turn: current,
    state: () => live.state,
    say: (text) => {
      const from = turn.draft.length
      turn.draft += text
      return bus.publishEphemeral(topicOf(live), { _tag: "TextDelta", turnId: turn.id, text, from })
    },
    request: (text, calls, answer) => {
      const prepare = Effect.map(admit(pool, live, budget, calls), ({ admissions, requested }) => {
        const places = new Map<CallId, Place>()
        for (const { asks, callId, child, outcome, workerId } of requested) {
          if (outcome !== undefined) places.set(callId, { outcome: Effect.succeed(outcome) })
          else if (workerId !== undefined || child !== undefined)
            places.set(callId, { outcome: outcomeOf(live, callId) })
          else if (asks !== undefined) places.set(callId, asked(life, callId, asks))
        }
        turn.draft = ""
        return {
          admissions,
          command: Command.RequestCalls({ turnId: turn.id, text, calls: requested, answer }),
          places
        }
      })
      return persist(Effect.map(submit(live, inbox, prepare), ({ places }) => places))
    },
    compact: (compacted) => Effect.asVoid(report(live, inbox, Command.Compact({ turnId: turn.id, ...compacted }))),
    overBudget: (answer) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        overBudget(others, budget, live, now, Budget.spendingOf(answer?.answer?.usage), answer !== undefined)
      ),
    afford: (size, call) => reservations.afford(live, size, call),
    placeOf: ({ callId, child, turnId, workerId }) => {
      if (workerId !== undefined || child !== undefined) return { outcome: outcomeOf(live, callId) }
      const { pending } = live.state.permission
      const asks = pending.find((asked) => asked.callId === callId && asked.path === undefined)
      // A heavy call on its way to the pool is told of by its worker.
      return asks !== undefined
        ? asked(life, callId, asks)
        : turnId === undefined
          ? {}
          : { outcome: outcomeOf(live, callId) }
    },
    queue: (call) => {
      const { args, callId, runs } = call
      if (runs.delegates !== undefined) {
        const begin = Effect.map(delegate(live, budget, call, 0), (placed) =>
          "refused" in placed
            ? { admissions: [], command: undefined, refused: placed.refused }
            : {
                admissions: [placed.attachment],
                command: Command.Spawn({ callId, child: placed.child }),
                refused: undefined
              }
        )
        return Effect.flatMap(begin, ({ admissions, command, refused }) =>
          command === undefined
            ? Effect.succeed(refused)
            : persist(Effect.as(submit(live, inbox, Effect.succeed({ admissions, command })), undefined))
        )
      }
      const task = { sessionId: live.id, callId, tool: runs, args, key: live.state.agentType }
      const prepare = Effect.map(pool.admit(task), (admission) => ({
        admissions: [admission],
        command: Command.QueueCall({ callId, workerId: admission.workerId })
      }))
      return persist(
        submit(live, inbox, prepare).pipe(
          Effect.as(undefined),
          Effect.catchTag(["PoolSaturated", "QuotaExceeded", "PoolDraining", "PoolNotFound"], (refusal) =>
            Effect.succeed(refusedBy(refusal))
          )
        )
      )
    },
    settle: (callId, outcome) => Effect.asVoid(report(live, inbox, Command.SettleCall({ callId, outcome }))),
    end: (outcome, text, failure, answer) =>
      Effect.flatMap(takeDraft(turn), (draft) =>
        Effect.asVoid(
          report(live, inbox, Command.EndTurn({ turnId: turn.id, outcome, text: text ?? draft, failure, answer }))
        )
      )
  }
}
