/**
 * One turn: asks the model, runs the tools it calls for, and again, until the answer is complete.
 *
 * Each step is journaled before the next begins, so a turn that was cut off goes on from its last settled step: it
 * first settles the calls that were left without an outcome, then reads the conversation and asks the model again.
 */
import { Cause, Effect, Exit, Option, Result } from "effect"
import type { LanguageModel } from "effect/ai"
import * as Topic from "../../services/events/Topic.ts"
import type { Failure } from "../../services/Failure.ts"
import type { ModelAnswer } from "../../services/model/ModelAnswer.ts"
import type { Limits } from "../../services/model/ModelLimits.ts"
import { type Entry, fromEvents, WINDOW } from "../../services/session/Conversation.ts"
import type { AssistantText, Refusal } from "../../services/session/decide.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import { type CallId, generateMessageId, type SessionId } from "../../services/session/SessionId.ts"
import type { SessionInterrupted } from "../../services/session/SessionManager.ts"
import type { CurrentTurn, SessionState, UnsettledCall } from "../../services/session/SessionState.ts"
import type { Tools } from "../../services/tools/Tools.ts"
import { persist } from "./LiveSession.ts"
import * as ModelRound from "./ModelRound.ts"
import { type PlannedCall, plan } from "./PlanCall.ts"
import type { OfferedTools } from "./Prompt.ts"
import { eventAt, type JournalService } from "./SessionStore.ts"
import * as ToolRunner from "./ToolRunner.ts"

/** Rounds of tool calls in one turn. */
export const MAX_STEPS = 50
/** Fast calls of one round that run at the same time. */
const PARALLEL = 8

/** The session has gone on without this turn, or has crashed. Either way there is nothing left to do. */
type Lost = Refusal | SessionInterrupted

/** What the session does for its turn. */
export interface Host {
  readonly sessionId: SessionId
  readonly turn: CurrentTurn
  readonly state: () => SessionState
  /** More of the answer, for those who watch. */
  readonly say: (text: string) => Effect.Effect<void>
  /**
   * Journals a step; its heavy calls are in the pool's queue then. Gives the outcomes that need not be made here: those
   * of refused calls and of workers.
   */
  readonly request: (
    text: AssistantText | undefined,
    calls: ReadonlyArray<PlannedCall>,
    answer: ModelAnswer | undefined
  ) => Effect.Effect<ReadonlyMap<CallId, Effect.Effect<ToolOutcome, SessionInterrupted>>, Lost>
  readonly settle: (callId: CallId, outcome: ToolOutcome) => Effect.Effect<void, Lost>
  /** The outcome of an unsettled call that runs elsewhere. */
  readonly outcomeOf: (callId: CallId) => Effect.Effect<ToolOutcome, SessionInterrupted>
  readonly end: (
    outcome: "completed" | "failed",
    text: AssistantText | undefined,
    failure: Failure | undefined,
    answer?: ModelAnswer
  ) => Effect.Effect<void, Lost>
}

export interface Surroundings {
  readonly journal: JournalService
  readonly tools: Tools["Service"]
  readonly model: LanguageModel.LanguageModel
  readonly limits: Limits
  readonly offered: Effect.Effect<OfferedTools>
}

const textOf = (text: string): Effect.Effect<AssistantText | undefined> =>
  text === "" ? Effect.undefined : Effect.map(generateMessageId, (messageId) => ({ messageId, text }))

/** What a call that was cut off becomes: run again if that is harmless. */
export const again = Effect.fnUntraced(function* (
  { journal, tools }: Pick<Surroundings, "journal" | "tools">,
  sessionId: SessionId,
  call: UnsettledCall
): Effect.fn.Return<ToolOutcome, Lost> {
  const tool = yield* Effect.result(tools.get(call.tool))
  if (Result.isFailure(tool) || !tool.success.annotations.idempotent) return { _tag: "ToolInterrupted" }
  const asked = yield* persist(eventAt(journal, sessionId, call.sequence))
  if (asked?.event._tag !== "ToolCallRequested") return { _tag: "ToolInterrupted" }
  return yield* ToolRunner.run(sessionId, tool.success, asked.event.args)
})

const settleLeftovers = Effect.fnUntraced(function* (around: Surroundings, host: Host) {
  const leftovers = host.state().calls.filter(({ turnId }) => turnId === host.turn.id)
  // Registered before anything is waited for: workers may end meanwhile.
  const elsewhere = leftovers.flatMap(({ callId, workerId }) =>
    workerId === undefined ? [] : [host.outcomeOf(callId)]
  )
  for (const call of leftovers) {
    if (call.workerId === undefined) yield* host.settle(call.callId, yield* again(around, host.sessionId, call))
  }
  for (const outcome of elsewhere) yield* outcome
})

/** The newest part of the conversation. The message that the turn answers is always in it. */
const readConversation = Effect.fnUntraced(function* ({ journal }: Surroundings, { sessionId, state, turn }: Host) {
  const after = Math.max(0, state().sequence - WINDOW)
  const events = yield* journal.read({ stream: Topic.ofSession(sessionId), after, limit: WINDOW })
  if (turn.message > after) return fromEvents(events)
  const message = yield* eventAt(journal, sessionId, turn.message)
  if (message === undefined) return fromEvents(events)
  const isBegun = events.some(({ event }) => event._tag === "TurnStarted" && event.turnId === turn.id)
  const begin = { ...message, event: { _tag: "TurnStarted", turnId: turn.id, messageId: turn.messageId } } as const
  return fromEvents(isBegun ? [message, ...events] : [message, begin, ...events])
})

/** Carries out a step; when it returns, every call of it is settled. */
const runStep = Effect.fnUntraced(function* (
  { tools }: Surroundings,
  host: Host,
  answer: ModelRound.Answer
): Effect.fn.Return<Entry, Lost> {
  const planned = yield* Effect.forEach(answer.calls, (call, index) => plan(tools, call, index))
  const elsewhere = yield* host.request(yield* textOf(answer.text), planned, answer.answer)
  const outcomes = new Map<CallId, ToolOutcome>()
  yield* Effect.forEach(
    planned,
    (call) => {
      if (call.refused !== undefined || elsewhere.has(call.callId)) return Effect.void
      return Effect.flatMap(ToolRunner.run(host.sessionId, call.runs, call.args), (outcome) => {
        outcomes.set(call.callId, outcome)
        return host.settle(call.callId, outcome)
      })
    },
    { concurrency: PARALLEL, discard: true }
  )
  for (const [callId, outcome] of elsewhere) outcomes.set(callId, yield* outcome)
  return {
    _tag: "Assistant",
    text: answer.text,
    // In the order in which they were called, whichever ended first.
    calls: planned.map(({ args, callId, tool }) => ({ callId, tool, args, outcome: outcomes.get(callId) })),
    parts: answer.answer?.parts
  }
})

const loop = Effect.fnUntraced(function* (around: Surroundings, host: Host) {
  yield* settleLeftovers(around, host)
  const entries = yield* persist(readConversation(around, host))
  while (true) {
    const answer = yield* ModelRound.ask(around.model, around.limits, yield* around.offered, entries, host.say)
    if (answer.broken !== undefined) {
      return yield* host.end("failed", yield* textOf(answer.text), answer.broken, answer.answer)
    }
    if (answer.calls.length === 0) {
      const text = yield* textOf(answer.text)
      if (text !== undefined) return yield* host.end("completed", text, undefined, answer.answer)
      return yield* Effect.fail(
        new ModelRound.TurnFailed("empty_answer", "the model answered nothing; send the message again")
      )
    }
    if ((host.state().turn?.steps ?? 0) >= MAX_STEPS) {
      return yield* Effect.fail(
        new ModelRound.TurnFailed(
          "too_many_steps",
          `the model called tools ${MAX_STEPS} times in one turn, which is all it may`
        )
      )
    }
    entries.push(yield* runStep(around, host, answer))
  }
})

/** Runs to the turn's end, which it journals itself; only an interruption leaves it open. */
export const run = (around: Surroundings, host: Host): Effect.Effect<void> =>
  loop(around, host).pipe(
    Effect.exit,
    Effect.flatMap((exit) => {
      if (Exit.isSuccess(exit)) return Effect.void
      if (Cause.hasInterrupts(exit.cause)) return Effect.failCause(exit.cause)
      const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
      if (error?._tag === "TurnFailed") return host.end("failed", undefined, error.failure)
      if (error !== undefined) return Effect.void
      return Effect.andThen(
        Effect.logError(`a turn of ${host.sessionId} broke`, exit.cause),
        host.end("failed", undefined, {
          code: "turn_crashed",
          message: "the turn broke; the server's log tells why"
        })
      )
    }),
    Effect.ignore,
    Effect.withSpan("Session.turn", { attributes: { session: host.sessionId, turn: host.turn.id } })
  )
