/**
 * One turn: asks the model, runs the tools it calls for, and again, until the answer is complete.
 *
 * Each step is journaled before the next begins, so a turn that was cut off goes on from its last settled step: it
 * first settles the calls that were left without an outcome, then reads the conversation and asks the model again.
 */
import { Cause, Effect, Exit, Result, Schema, Stream } from "effect"
import { AiError, type LanguageModel, type Response } from "effect/ai"
import type { Failure } from "../../services/Failure.ts"
import { type AssistantEntry, type Entry, fromEvents, WINDOW } from "../../services/session/Conversation.ts"
import type { AssistantText, TurnOver } from "../../services/session/decide.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import { type CallId, generateCallId, generateMessageId, type SessionId } from "../../services/session/SessionId.ts"
import type { SessionHasEnded, SessionInterrupted, MailboxFull } from "../../services/session/SessionManager.ts"
import type { CurrentTurn, SessionState, UnsettledCall } from "../../services/session/SessionState.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import type { Tools } from "../../services/tools/Tools.ts"
import { type OfferedTools, promptOf } from "./Prompt.ts"
import { eventAt, type JournalService } from "./SessionStore.ts"
import { persist } from "./LiveSession.ts"
import * as ToolRunner from "./ToolRunner.ts"
import * as Topic from "../../services/events/Topic.ts"

/** Rounds of tool calls in one turn. */
export const MAX_STEPS = 50
/** Calls of one round; further ones are refused. */
const MAX_CALLS = 64
/** Calls of one round that run here at the same time. */
const PARALLEL = 8
/** Characters of one answer. */
const MAX_ANSWER = 1_000_000
const MODEL_LIMIT = "10 minutes"

type Lost = TurnOver | SessionInterrupted | SessionHasEnded | MailboxFull

/** A call of a step, looked at before anything is journaled. */
export type PlannedCall = {
  readonly callId: CallId
  readonly tool: string
  readonly args: Schema.Json
} & ({ readonly refused: ToolOutcome } | { readonly refused?: undefined; readonly runs: Tool })

/** What the session does for its turn. */
export interface Host {
  readonly sessionId: SessionId
  readonly turn: CurrentTurn
  readonly state: () => SessionState
  /** More of the answer, for those who watch. */
  readonly say: (text: string) => Effect.Effect<void>
  /** Journals a step; its heavy calls are in the pool's queue then. Gives the outcomes that need not be made here: refusals and workers. */
  readonly request: (
    text: AssistantText | undefined,
    calls: ReadonlyArray<PlannedCall>
  ) => Effect.Effect<ReadonlyMap<CallId, Effect.Effect<ToolOutcome, SessionInterrupted>>, Lost>
  readonly settle: (callId: CallId, outcome: ToolOutcome) => Effect.Effect<void, Lost>
  /** The outcome of an unsettled call that runs elsewhere. */
  readonly outcomeOf: (callId: CallId) => Effect.Effect<ToolOutcome, SessionInterrupted>
  readonly end: (
    outcome: "completed" | "failed",
    text: AssistantText | undefined,
    failure: Failure | undefined
  ) => Effect.Effect<void, Lost>
}

export interface Surroundings {
  readonly journal: JournalService
  readonly tools: Tools["Service"]
  readonly model: LanguageModel.LanguageModel
  readonly offered: Effect.Effect<OfferedTools>
}

const isJson = Schema.is(Schema.Json)

const failure = (code: string, message: string): Failure => ({ code, message })

/** What a call that was cut off becomes: run again if that is harmless. */
const settleLeftover = Effect.fnUntraced(function* (around: Surroundings, host: Host, call: UnsettledCall) {
  const tool = yield* Effect.result(around.tools.get(call.tool))
  const asked = yield* persist(eventAt(around.journal, host.sessionId, call.sequence))
  const outcome: ToolOutcome =
    Result.isSuccess(tool) && tool.success.annotations.idempotent && asked?.event._tag === "ToolCallRequested"
      ? yield* ToolRunner.run(host.sessionId, tool.success, asked.event.args)
      : { _tag: "ToolInterrupted" }
  yield* host.settle(call.callId, outcome)
})

const readConversation = Effect.fnUntraced(function* (around: Surroundings, host: Host) {
  const stream = Topic.ofSession(host.sessionId)
  const after = Math.max(0, host.state().sequence - WINDOW)
  const events = yield* around.journal.read({ stream, after, limit: WINDOW })
  if (host.turn.message > after) return fromEvents(events)
  const message = yield* eventAt(around.journal, host.sessionId, host.turn.message)
  return fromEvents(message === undefined ? events : [message, ...events])
})

interface Answer {
  readonly text: string
  readonly calls: ReadonlyArray<{ readonly name: string; readonly params: unknown }>
  readonly reason: Response.FinishReason | undefined
}

const askModel = Effect.fnUntraced(function* (around: Surroundings, host: Host, entries: ReadonlyArray<Entry>) {
  let text = ""
  let reason: Answer["reason"]
  const calls: Array<Answer["calls"][number]> = []
  yield* around.model
    .streamText({
      prompt: promptOf(entries),
      toolkit: yield* around.offered,
      disableToolCallResolution: true,
      toolCallValidation: "deferred"
    })
    .pipe(
      Stream.runForEachArray((parts) => {
        let delta = ""
        for (const part of parts) {
          if (part.type === "text-delta") delta += part.delta
          else if (part.type === "tool-call") calls.push({ name: part.name, params: part.params })
          else if (part.type === "finish") reason = part.reason
          else if (part.type === "error")
            return Effect.fail(failure("model_failed", `the model broke off: ${messageOf(part.error)}`))
        }
        text += delta
        if (text.length > MAX_ANSWER) {
          return Effect.fail(failure("answer_too_long", `the answer passed ${MAX_ANSWER} characters and was cut off`))
        }
        return delta === "" ? Effect.void : host.say(delta)
      }),
      Effect.timeoutOrElse({
        duration: MODEL_LIMIT,
        orElse: () =>
          Effect.fail(
            failure("model_timeout", `the model took more than ${MODEL_LIMIT} to answer; send the message again`)
          )
      })
    )
  const answer: Answer = { text, calls, reason }
  return answer
})

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : typeof error === "string" ? error : "it gave no reason"

/** Looks at what the model asks for: what cannot be run is refused in words the model can act on. */
const plan = Effect.fnUntraced(function* (
  tools: Tools["Service"],
  { name, params }: Answer["calls"][number],
  index: number
): Effect.fn.Return<PlannedCall> {
  const callId = yield* generateCallId
  const call = { callId, tool: name, args: isJson(params) ? params : null }
  const refuse = (code: string, message: string): PlannedCall => ({
    ...call,
    refused: ToolRunner.failed(code, message)
  })
  if (index >= MAX_CALLS) return refuse("too_many_calls", `at most ${MAX_CALLS} tools may be called at once`)
  const found = yield* Effect.result(tools.get(name))
  if (Result.isFailure(found)) return refuse("tool_not_found", found.failure.message)
  const tool = found.success
  if (tool.annotations.needsPermission) {
    return refuse("permission_required", `a person has to allow ${name}, and nobody can be asked; do without it`)
  }
  const issues = isJson(params) ? yield* tool.check(params) : [{ path: "", message: "the arguments are not JSON" }]
  if (issues.length > 0) {
    const reasons = issues.map(({ message, path }) => (path === "" ? message : `${path}: ${message}`))
    return refuse("invalid_input", `the arguments of ${name} do not fit: ${reasons.join("; ")}`)
  }
  return { ...call, runs: tool }
})

/** Carries out a step; when it returns, every call of it is settled. */
const runStep = Effect.fnUntraced(function* (around: Surroundings, host: Host, answer: Answer) {
  const planned = yield* Effect.forEach(answer.calls, (call, index) => plan(around.tools, call, index))
  const elsewhere = yield* host.request(yield* textOf(answer.text), planned)
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
  const entry: AssistantEntry = {
    _tag: "Assistant",
    text: answer.text,
    calls: planned.map(({ args, callId, tool }) => ({ callId, tool, args, outcome: outcomes.get(callId) }))
  }
  return entry
})

const textOf = (text: string): Effect.Effect<AssistantText | undefined> =>
  text === "" ? Effect.undefined : Effect.map(generateMessageId, (messageId) => ({ messageId, text }))

const cutOff = (reason: Answer["reason"]): Failure | undefined => {
  switch (reason) {
    case "length":
      return failure("answer_cut_off", "the model stopped at its longest answer; ask it to go on")
    case "content-filter":
      return failure("answer_filtered", "the provider's content filter cut the answer off")
    case "error":
      return failure("model_failed", "the model broke off with an error; send the message again")
    default:
      return undefined
  }
}

const loop = Effect.fnUntraced(function* (around: Surroundings, host: Host) {
  const leftovers = host.state().calls.filter(({ turnId }) => turnId === host.turn.id)
  // Registered before anything is waited for: workers may end meanwhile.
  const elsewhere = leftovers.flatMap(({ callId, workerId }) =>
    workerId === undefined ? [] : [host.outcomeOf(callId)]
  )
  for (const call of leftovers) if (call.workerId === undefined) yield* settleLeftover(around, host, call)
  for (const outcome of elsewhere) yield* outcome
  const entries = yield* persist(readConversation(around, host))
  while (true) {
    const answer = yield* askModel(around, host, entries)
    const incomplete = cutOff(answer.reason)
    if (incomplete !== undefined || answer.calls.length === 0) {
      const text = yield* textOf(answer.text)
      if (incomplete !== undefined) return yield* host.end("failed", text, incomplete)
      if (text !== undefined) return yield* host.end("completed", text, undefined)
      return yield* Effect.fail(failure("empty_answer", "the model answered nothing; send the message again"))
    }
    if (host.state().turn?.id === host.turn.id && (host.state().turn?.steps ?? 0) >= MAX_STEPS) {
      return yield* Effect.fail(
        failure("too_many_steps", `the model called tools ${MAX_STEPS} times in one turn, which is all it may`)
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
      if (Exit.isSuccess(exit) || Cause.hasInterrupts(exit.cause)) return Effect.void
      const error = Cause.findErrorOption(exit.cause)
      if (error._tag === "Some") {
        // The session has gone on without this turn, or has crashed: either way there is nothing to end.
        if ("_tag" in error.value && !AiError.isAiError(error.value)) return Effect.void
        const reason = AiError.isAiError(error.value) ? failure("model_failed", error.value.message) : error.value
        return host.end("failed", undefined, reason)
      }
      return Effect.andThen(
        Effect.logError(`a turn of ${host.sessionId} broke`, exit.cause),
        host.end("failed", undefined, failure("turn_crashed", "the turn broke; the server's log tells why"))
      )
    }),
    Effect.ignore,
    Effect.withSpan("Session.turn", { attributes: { session: host.sessionId, turn: host.turn.id } })
  )
