/**
 * Sub-sessions: sessions below a session, for a task of their own. What one comes to reaches the session above it as
 * the outcome of the call that asked for it, once, whichever way it ended.
 */
import { Schema } from "effect"
import type { Failure } from "../Failure.ts"
import type { RuntimeEvent } from "../events/RuntimeEvent.ts"
import * as Budget from "./Budget.ts"
import { spentWith, type ToolOutcome } from "./SessionEvent.ts"
import { CallId, SessionId } from "./SessionId.ts"

/** Sub-sessions that a session may have at the same time. */
export const MAX_LIVE = 16

/** Milliseconds that a sub-session may live, and may be idle, when nothing else is said. */
export const DEADLINE = 3_600_000
export const IDLE_LIMIT = 600_000

/** One that has not ended, as the session above it knows it. */
export const LiveSub = Schema.Struct({
  sessionId: SessionId,
  index: Schema.Int,
  callId: Schema.optionalKey(CallId)
})
export type LiveSub = typeof LiveSub.Type

/** Why a sub-session was stopped, where the session above it or the runtime did it. */
export const reasons = {
  deadline: "its deadline has passed",
  idle: "it was idle for as long as it may be",
  done: "its task is done",
  cancelled: "the turn that it worked for was cancelled",
  stopped: "the session above it was stopped"
} as const

/** What has been heard of a sub-session so far. */
export interface Progress {
  readonly spent: Budget.Spending
  /** What it said in its turn. */
  readonly text: string
  /** Set when there is an outcome. */
  readonly outcome: ToolOutcome | undefined
  readonly isEnded: boolean
}

export const unheard: Progress = { spent: Budget.nothing, text: "", outcome: undefined, isEnded: false }

const failed = ({ code, message }: Failure, text: string): ToolOutcome => ({
  _tag: "ToolFailed",
  failure: { code, message },
  ...(text === "" ? undefined : { partial: text })
})

const cutOff = (reason: string, text: string): ToolOutcome => {
  switch (reason) {
    case reasons.cancelled:
    case reasons.stopped:
      return { _tag: "ToolCancelled" }
    case reasons.deadline:
      return failed({ code: "deadline_exceeded", message: "the agent did not answer before its deadline" }, text)
    default:
      return failed({ code: "sub_session_ended", message: `the agent was stopped before it answered: ${reason}` }, text)
  }
}

/** Somebody cancelled its turn, and the session itself goes on. */
export const cancelled = (progress: Progress): Progress => ({
  ...progress,
  outcome: failed({ code: "turn_cancelled", message: "somebody cancelled the agent's turn" }, progress.text)
})

/** Adds what its topic tells next. The outcome is that of its first turn, or that it ended without one. */
export const hear = (progress: Progress, sessionId: SessionId, event: RuntimeEvent): Progress => {
  switch (event._tag) {
    case "MessageSettled": {
      const spent = Budget.add(progress.spent, spentWith(event))
      const text = progress.text === "" ? event.text : `${progress.text}\n\n${event.text}`
      return progress.outcome === undefined ? { ...progress, spent, text } : { ...progress, spent }
    }
    case "ToolCallRequested":
    case "ContextCompacted":
    case "TextSampled":
      return { ...progress, spent: Budget.add(progress.spent, spentWith(event)) }
    case "SubSessionEnded":
      return { ...progress, spent: Budget.add(progress.spent, event.spent) }
    case "TurnEnded": {
      const spent = Budget.add(progress.spent, spentWith(event))
      if (progress.outcome !== undefined) return { ...progress, spent }
      const { text } = progress
      // When its session ends with it, that end tells why.
      if (event.outcome === "cancelled") return { ...progress, spent }
      const outcome: ToolOutcome =
        event.outcome === "completed"
          ? { _tag: "ToolCompleted", result: { sessionId, answer: text } }
          : failed(event.failure ?? { code: "turn_failed", message: "the agent failed" }, text)
      return { ...progress, spent, outcome }
    }
    case "SessionEnded":
      return { ...progress, outcome: progress.outcome ?? cutOff(event.reason, progress.text), isEnded: true }
    default:
      return progress
  }
}
