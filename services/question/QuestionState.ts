/** What a session knows of the questions that MCP servers put to its person: those that wait, and the last ones that did. A fold. */
import { Schema } from "effect"
import type { SessionEvent } from "../session/SessionEvent.ts"
import { SessionId } from "../session/SessionId.ts"
import { QuestionEnd, QuestionId } from "./Question.ts"

/** Settled ones that are remembered, so that a second answer is told from one to nothing. */
export const REMEMBERED = 64

/** Message and schema are in the journal at `sequence`. */
export const PendingQuestion = Schema.Struct({
  questionId: QuestionId,
  expiresAt: Schema.Int,
  sequence: Schema.Int,
  /** Of a sub-agent's: from the session's own sub-session down to the one that asks. */
  path: Schema.optionalKey(Schema.Array(SessionId))
})
export type PendingQuestion = typeof PendingQuestion.Type

export const QuestionState = Schema.Struct({
  pending: Schema.Array(PendingQuestion),
  /** The newest last. */
  settled: Schema.Array(Schema.Struct({ questionId: QuestionId, action: QuestionEnd }))
})
export type QuestionState = typeof QuestionState.Type

/** Of most sessions: so they share it. */
export const initial: QuestionState = { pending: [], settled: [] }

const none: ReadonlyArray<never> = []

export const fold = (state: QuestionState, event: SessionEvent, sequence: number): QuestionState => {
  switch (event._tag) {
    case "QuestionAsked": {
      const { expiresAt, path, questionId } = event
      const asked = { questionId, expiresAt, sequence, ...(path === undefined ? undefined : { path }) }
      return { ...state, pending: [...state.pending, asked] }
    }
    case "QuestionSettled": {
      const { action, questionId } = event
      const pending = state.pending.filter((asked) => asked.questionId !== questionId)
      return {
        pending: pending.length === 0 ? none : pending,
        settled: [...state.settled.slice(1 - REMEMBERED), { questionId, action }]
      }
    }
    case "SessionEnded":
      return state.pending.length === 0 ? state : { ...state, pending: none }
    default:
      return state
  }
}
