/**
 * One turn: asks the model, runs the tools it calls for, and again, until the answer is complete.
 *
 * Each step is journaled before the next begins, so a turn that was cut off goes on from its last settled step: it
 * first settles the calls that were left without an outcome, then reads the conversation and asks the model again.
 */
import { Cause, Effect, Exit, Option, Semaphore } from "effect"
import type { LanguageModel } from "effect/ai"
import * as Topic from "../../services/events/Topic.ts"
import type { Failure } from "../../services/Failure.ts"
import type { ModelAnswer } from "../../services/model/ModelAnswer.ts"
import type { Limits } from "../../services/model/ModelLimits.ts"
import { type Entry, fromEvents, WINDOW, windowAfter } from "../../services/session/Conversation.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import type { AgentType } from "../../services/session/AgentType.ts"
import { estimate, PER_TOKEN, type Strategy } from "../../services/session/Compaction.ts"
import type { Size } from "../../services/session/Reservation.ts"
import type { AssistantText } from "../../services/session/decide.ts"
import { type CallId, generateMessageId } from "../../services/session/SessionId.ts"
import type { CurrentTurn, SessionState, UnsettledCall } from "../../services/session/SessionState.ts"
import type { Tools } from "../../services/tools/Tools.ts"
import { carryOut, type Host as CarryOutHost, type Lost, type Place, takeUp } from "./CarryOut.ts"
import * as FitContext from "./FitContext.ts"
import { persist } from "./LiveSession.ts"
import * as ModelRound from "./ModelRound.ts"
import { MAX_CALLS, type PlannedCall, plan } from "./PlanCall.ts"
import type { OfferedTools } from "./Prompt.ts"
import type { Count } from "./Reservations.ts"
import { eventAt, type JournalService } from "./SessionStore.ts"

/** Fast calls of one round that run at the same time. */
const PARALLEL = 8

/** What the session does for its turn. */
export interface Host extends CarryOutHost {
  readonly turn: CurrentTurn
  readonly state: () => SessionState
  /** More of the answer, for those who watch. */
  readonly say: (text: string) => Effect.Effect<void>
  /** Journals a step; its heavy calls are in the pool's queue then, unless they have to be allowed first. */
  readonly request: (
    text: AssistantText | undefined,
    calls: ReadonlyArray<PlannedCall>,
    answer: ModelAnswer | undefined
  ) => Effect.Effect<ReadonlyMap<CallId, Place>, Lost>
  /** Journals what the model is shown no longer. */
  readonly compact: (compacted: FitContext.Compacted) => Effect.Effect<void, Lost>
  /** Why the turn may not go on: with an answer, why its calls may not be run. */
  readonly overBudget: (answer?: ModelRound.Answer) => Effect.Effect<Failure | undefined>
  /** Asks the model when its session's budget has room for that; it ends with what the answer took being journaled. */
  readonly afford: <A, E>(
    size: () => Size,
    call: (count: Count) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | ModelRound.TurnFailed>
  /** Where an unsettled call stands. */
  readonly placeOf: (call: UnsettledCall) => Place
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
  /** Whether the model can see. */
  readonly pictures: boolean
  /** What a session's model is offered: of the servers that it sees, under its permissions. */
  readonly offered: (state: SessionState) => Effect.Effect<OfferedTools>
  readonly compaction: Strategy
  /** What the model is told before everything else. */
  readonly instructions: (state: SessionState) => Effect.Effect<string | undefined>
  readonly agentTypes: ReadonlyMap<string, AgentType>
}

const textOf = (text: string): Effect.Effect<AssistantText | undefined> =>
  text === "" ? Effect.undefined : Effect.map(generateMessageId, (messageId) => ({ messageId, text }))

/** Calls of one step that run here at the same time. */
const slots = Semaphore.make(PARALLEL)

const settleLeftovers = Effect.fnUntraced(function* (around: Surroundings, host: Host) {
  const leftovers = host.state().calls.filter(({ turnId }) => turnId === host.turn.id)
  if (leftovers.length === 0) return
  // Where they stand is asked for all before anything is waited for: workers may end meanwhile, and persons answer.
  const places = leftovers.map((call) => [call, host.placeOf(call)] as const)
  const free = yield* slots
  yield* Effect.forEach(places, ([call, place]) => takeUp(around, host, free, call, place), {
    concurrency: MAX_CALLS,
    discard: true
  })
})

/** The newest part of the conversation. The message that the turn answers is always in it. */
const readConversation = Effect.fnUntraced(function* (
  { journal }: Surroundings,
  { sessionId, state, turn }: Host
): Effect.fn.Return<ReadonlyArray<Entry>, StorageError> {
  const { sequence, summary } = state()
  const after = windowAfter(sequence)
  const newest = yield* journal.read({ stream: Topic.ofSession(sessionId), after, limit: WINDOW })
  const summedUp = summary !== undefined && summary <= after ? yield* eventAt(journal, sessionId, summary) : undefined
  const events = summedUp === undefined ? newest : [summedUp, ...newest]
  if (turn.message > after) return fromEvents(events)
  const message = yield* eventAt(journal, sessionId, turn.message)
  if (message === undefined) return fromEvents(events)
  const isBegun = events.some(({ event }) => event._tag === "TurnStarted" && event.turnId === turn.id)
  const begin = { ...message, event: { _tag: "TurnStarted", turnId: turn.id, messageId: turn.messageId } } as const
  return fromEvents(isBegun ? [message, ...events] : [message, begin, ...events])
})

/** Journals a step, and gives what is left of it: when that returns, every call of it is settled. */
const requestStep = Effect.fnUntraced(function* (
  { agentTypes, tools }: Surroundings,
  host: Host,
  answer: ModelRound.Answer
): Effect.fn.Return<Effect.Effect<Entry, Lost>, Lost> {
  const { agentType, id, mcpServers, owner, permission } = host.state()
  const rules = [...(agentTypes.get(agentType)?.rules ?? []), ...permission.rules]
  const asker = { id, mcpServers, owner, permission: { ...permission, rules } }
  const planned = yield* Effect.forEach(answer.calls, (call, index) => plan(tools, asker, call, index))
  const places = yield* host.request(yield* textOf(answer.text), planned, answer.answer)
  return carryOutStep(host, answer, planned, places)
})

const carryOutStep = Effect.fnUntraced(function* (
  host: Host,
  answer: ModelRound.Answer,
  planned: ReadonlyArray<PlannedCall>,
  places: ReadonlyMap<CallId, Place>
): Effect.fn.Return<Entry, Lost> {
  const free = yield* slots
  const calls = yield* Effect.forEach(
    planned,
    (call) => {
      const { args, callId, tool } = call
      const outcome =
        call.refused === undefined ? carryOut(host, free, call, places.get(callId) ?? {}) : Effect.succeed(call.refused)
      return Effect.map(outcome, (outcome) => ({ callId, tool, args, outcome }))
    },
    { concurrency: MAX_CALLS }
  )
  // In the order in which they were called, whichever ended first.
  return { _tag: "Assistant", text: answer.text, calls, parts: answer.answer?.parts, sequence: host.state().sequence }
})

/** Asks the model and journals what it answers. Gives the step that is to be carried out, and none at the turn's end. */
const round = Effect.fnUntraced(function* (around: Surroundings, host: Host, shown: ModelRound.Shown, count: Count) {
  const offered = yield* around.offered(host.state())
  const answer = yield* ModelRound.ask(around.model, around.limits, offered, shown, host.say)
  count(answer.answer)
  if (answer.broken !== undefined) {
    yield* host.end("failed", yield* textOf(answer.text), answer.broken, answer.answer)
    return undefined
  }
  if (answer.calls.length === 0) {
    const text = yield* textOf(answer.text)
    if (text === undefined) {
      return yield* Effect.fail(
        new ModelRound.TurnFailed("empty_answer", "the model answered nothing; send the message again")
      )
    }
    yield* host.end("completed", text, undefined, answer.answer)
    return undefined
  }
  // What it took is journaled with its calls only, so it counts from here.
  const over = yield* host.overBudget(answer)
  if (over === undefined) return yield* requestStep(around, host, answer)
  yield* host.end("failed", yield* textOf(answer.text), over, answer.answer)
  return undefined
})

const sizeOf = (entries: ReadonlyArray<Entry>, system: string | undefined, most: number): Size => ({
  shown: Math.min(estimate(entries), most) + Math.ceil((system?.length ?? 0) / PER_TOKEN)
})

const loop = Effect.fnUntraced(function* (around: Surroundings, host: Host) {
  yield* settleLeftovers(around, host)
  let entries = yield* persist(readConversation(around, host))
  const system = yield* around.instructions(host.state())
  const silent = () => Effect.void
  const { tokens } = around.compaction
  const characters = tokens * PER_TOKEN
  const fit = FitContext.make({
    strategy: around.compaction,
    ask: (entries) =>
      Effect.flatMap(around.offered(host.state()), (offered) =>
        ModelRound.ask(
          around.model,
          around.limits,
          offered,
          { entries, system, characters, callsNothing: true },
          silent
        )
      ),
    afford: (entries, call) => host.afford(() => sizeOf(entries, system, tokens), call),
    journal: host.compact
  })
  while (true) {
    const spent = yield* host.overBudget()
    if (spent !== undefined) return yield* host.end("failed", undefined, spent)
    entries = yield* fit(entries)
    const shown = { entries, system, characters, pictures: around.pictures }
    const step = yield* host.afford(
      () => sizeOf(shown.entries, system, tokens),
      (count) => round(around, host, shown, count)
    )
    if (step === undefined) return
    entries = [...entries, yield* step]
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
      if (error?._tag === "TurnFailed") {
        const { code, message } = error.failure
        // What is wrong with a model is for whoever runs the server, too.
        const note = code.startsWith("model_")
          ? Effect.logWarning(`a turn of ${host.sessionId} failed: ${message} (${code})`)
          : Effect.void
        return Effect.andThen(note, host.end("failed", undefined, error.failure))
      }
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
    Effect.withSpan(
      "Session.turn",
      { attributes: { session: host.sessionId, turn: host.turn.id } },
      { captureStackTrace: false }
    )
  )
