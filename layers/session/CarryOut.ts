/**
 * What becomes of a call once it is journaled: it waits for a person's leave if it needs one, goes to the pool or runs
 * here, and is settled. The same for a call that has just been asked for and for one that a crash has left behind.
 */
import { Effect, Result, type Schema, type Semaphore } from "effect"
import type { PermissionAnswer } from "../../services/permission/Permission.ts"
import type { Refusal } from "../../services/session/decide.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import type { CallId, SessionId } from "../../services/session/SessionId.ts"
import type { SessionInterrupted } from "../../services/session/SessionManager.ts"
import type { UnsettledCall } from "../../services/session/SessionState.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import type { Tools } from "../../services/tools/Tools.ts"
import { persist } from "./LiveSession.ts"
import { eventAt, type JournalService } from "./SessionStore.ts"
import * as ToolRunner from "./ToolRunner.ts"

/** The session has gone on without this turn, or has crashed. Either way there is nothing left to do. */
export type Lost = Refusal | SessionInterrupted

/** Where a journaled call stands. With neither it is to be run here. */
export interface Place {
  /** A person's answer, or that there was none in time. Whoever is not allowed is settled already. */
  readonly answer?: Effect.Effect<PermissionAnswer, Lost> | undefined
  /** Made elsewhere: by a worker, or by the refusal. */
  readonly outcome?: Effect.Effect<ToolOutcome, SessionInterrupted> | undefined
}

/** A call with all that running it takes. */
export interface Ready {
  readonly callId: CallId
  readonly runs: Tool
  readonly args: Schema.Json
}

export interface Host {
  readonly sessionId: SessionId
  readonly settle: (callId: CallId, outcome: ToolOutcome) => Effect.Effect<void, Lost>
  /** Puts a call that was allowed where it is carried out; answers with the failure when no more is taken there. */
  readonly queue: (call: Ready) => Effect.Effect<ToolOutcome | undefined, Lost>
}

/** Runs what is not made elsewhere, when a slot is free: to wait for a person takes none. */
export const carryOut = Effect.fnUntraced(function* (
  host: Host,
  slots: Semaphore.Semaphore,
  call: Ready,
  { answer, outcome }: Place
): Effect.fn.Return<ToolOutcome, Lost> {
  if (answer === undefined) return yield* outcome ?? runHere(host, slots, call)
  if (outcome !== undefined && (yield* answer) === "deny") return yield* outcome
  return yield* place(host, slots, call, outcome)
})

/** On the pool, or in a sub-session. */
export const isElsewhere = ({ annotations, delegates }: Tool): boolean =>
  annotations.weight === "heavy" || delegates !== undefined

/** Of a call that was allowed. */
const place = Effect.fnUntraced(function* (
  host: Host,
  slots: Semaphore.Semaphore,
  call: Ready,
  outcome: Place["outcome"]
): Effect.fn.Return<ToolOutcome, Lost> {
  if (!isElsewhere(call.runs) || outcome === undefined) return yield* runHere(host, slots, call)
  const refused = yield* host.queue(call)
  if (refused === undefined) return yield* outcome
  yield* host.settle(call.callId, refused)
  return refused
})

const runHere = (host: Host, slots: Semaphore.Semaphore, { args, callId, runs }: Ready) =>
  Effect.tap(slots.withPermit(ToolRunner.run(host.sessionId, runs, args)), (outcome) => host.settle(callId, outcome))

interface Around {
  readonly journal: JournalService
  readonly tools: Tools["Service"]
}

/** The tool and the exact arguments of a journaled call. */
const readyOf = Effect.fnUntraced(function* (
  { journal, tools }: Around,
  sessionId: SessionId,
  { callId, sequence, tool }: UnsettledCall
): Effect.fn.Return<Ready | undefined, Lost> {
  const found = yield* Effect.result(tools.get(tool))
  if (Result.isFailure(found)) return undefined
  const asked = yield* persist(eventAt(journal, sessionId, sequence))
  if (asked?.event._tag !== "ToolCallRequested") return undefined
  return { callId, runs: found.success, args: asked.event.args }
})

const interrupted: ToolOutcome = { _tag: "ToolInterrupted" }

/** What a call that was cut off becomes: run again if that is harmless. */
export const again = Effect.fnUntraced(function* (
  around: Around,
  sessionId: SessionId,
  call: UnsettledCall
): Effect.fn.Return<ToolOutcome, Lost> {
  const ready = yield* readyOf(around, sessionId, call)
  if (ready?.runs.annotations.idempotent !== true) return interrupted
  return yield* ToolRunner.run(sessionId, ready.runs, ready.args)
})

/** Takes up a turn's call that a crash has left behind. */
export const takeUp = Effect.fnUntraced(function* (
  around: Around,
  host: Host,
  slots: Semaphore.Semaphore,
  call: UnsettledCall,
  at: Place
): Effect.fn.Return<void, Lost> {
  if (call.workerId !== undefined || call.child !== undefined) return yield* Effect.asVoid(at.outcome ?? Effect.void)
  const ready = yield* readyOf(around, host.sessionId, call)
  if (ready === undefined) return yield* host.settle(call.callId, interrupted)
  // It waited, or was allowed and never reached the pool: either way nothing of it has run.
  if (at.answer !== undefined) return yield* Effect.asVoid(carryOut(host, slots, ready, at))
  if (isElsewhere(ready.runs)) return yield* Effect.asVoid(place(host, slots, ready, at.outcome))
  if (!ready.runs.annotations.idempotent) return yield* host.settle(call.callId, interrupted)
  yield* runHere(host, slots, ready)
})
