/**
 * What becomes of a question that was asked. Pure, so that all that stands between a question and its answer can be
 * read here:
 *
 * - a question is asked only where somebody may be there to answer, for a session that has a call under way;
 * - an answer is good for the question it names, while that waits, from the session's person, and before it expires;
 * - a question is settled once: by an answer, by its expiry, or by the end of what asked it.
 */
import { Data, Result } from "effect"
import type { SessionEvent } from "../session/SessionEvent.ts"
import type { SessionId } from "../session/SessionId.ts"
import type { SessionState } from "../session/SessionState.ts"
import {
  type AnswerContent,
  MAX_OPEN,
  type Question,
  type QuestionAction,
  QuestionAlreadySettled,
  type QuestionEnd,
  QuestionExpired,
  type QuestionId,
  QuestionNotFound,
  QuestionNotYours
} from "./Question.ts"
import type { PendingQuestion, QuestionState } from "./QuestionState.ts"

export type QuestionRefusal = QuestionNotFound | QuestionExpired | QuestionNotYours | QuestionAlreadySettled

/** Nobody is asked, and the server hears that the person declined. */
export class QuestionNotAsked extends Data.TaggedError("QuestionNotAsked")<{ readonly questionId: QuestionId }> {}

export interface PersonsAnswer {
  readonly questionId: QuestionId
  readonly action: QuestionAction
  /** What fits the question's schema; with `accept` only. It is handed over and journaled nowhere. */
  readonly content: AnswerContent | undefined
  readonly person: string
  readonly now: number
}

export type Settled = Extract<SessionEvent, { readonly _tag: "QuestionSettled" }>

type Events = ReadonlyArray<SessionEvent>

const find = ({ pending }: QuestionState, id: QuestionId): PendingQuestion | undefined =>
  pending.find(({ questionId }) => questionId === id)

const settled = ({ path, questionId }: PendingQuestion, action: QuestionEnd, by?: string): Settled => ({
  _tag: "QuestionSettled",
  questionId,
  action,
  ...(by === undefined ? undefined : { by }),
  ...(path === undefined ? undefined : { path })
})

type Asking = Pick<SessionState, "isEnded" | "permission" | "calls" | "questions">

/** A server asks while a tool of it runs for the session. */
export const ask = (
  { calls, isEnded, permission, questions }: Asking,
  question: Question
): Result.Result<Events, QuestionNotAsked> => {
  const isAnybodyThere = !isEnded && permission.mode === "attended" && calls.length > 0
  return isAnybodyThere && questions.pending.length < MAX_OPEN
    ? Result.succeed([{ _tag: "QuestionAsked", ...question }])
    : Result.fail(new QuestionNotAsked({ questionId: question.questionId }))
}

/** A sub-session asks: this session's person is asked for it, once. */
export const relay = ({ isEnded, questions }: Asking, question: Question): Events =>
  isEnded ||
  questions.pending.length >= MAX_OPEN ||
  find(questions, question.questionId) !== undefined ||
  questions.settled.some(({ questionId }) => questionId === question.questionId)
    ? []
    : [{ _tag: "QuestionAsked", ...question }]

export const answer = (
  sessionId: SessionId,
  owner: string,
  state: QuestionState,
  { action, now, person, questionId }: PersonsAnswer
): Result.Result<Events, QuestionRefusal> => {
  const asked = find(state, questionId)
  if (asked === undefined) {
    const before = state.settled.find((settled) => settled.questionId === questionId)
    if (before === undefined) return Result.fail(new QuestionNotFound({ sessionId, questionId }))
    return Result.fail(
      before.action === "expired"
        ? new QuestionExpired({ questionId })
        : new QuestionAlreadySettled({ questionId, action: before.action })
    )
  }
  if (person !== owner) return Result.fail(new QuestionNotYours({ questionId }))
  if (now >= asked.expiresAt) return Result.fail(new QuestionExpired({ questionId }))
  return Result.succeed([settled(asked, action, person)])
}

/** Nobody answered in time. Before that, and when it is settled already, nothing happens. */
export const expire = (state: QuestionState, questionId: QuestionId, now: number): Events => {
  const asked = find(state, questionId)
  return asked === undefined || now < asked.expiresAt ? [] : [settled(asked, "expired")]
}

/** What asked does so no longer. */
export const withdraw = (state: QuestionState, isOver: (asked: PendingQuestion) => boolean): Events =>
  state.pending.length === 0 ? [] : state.pending.filter(isOver).map((asked) => settled(asked, "withdrawn"))

/** Which call of a session asks cannot be told, so its own questions are over when all of its calls are. */
export const withdrawOwn = ({ calls, questions }: Asking, over: SessionState["calls"]): Events =>
  questions.pending.length > 0 && calls.every((call) => over.includes(call))
    ? withdraw(questions, ({ path }) => path === undefined)
    : []

/** What became of it in the session above or below this one, where it was asked too. */
export const follow = (state: QuestionState, { action, by, questionId }: Settled): Events => {
  const asked = find(state, questionId)
  return asked === undefined ? [] : [settled(asked, action, by)]
}
