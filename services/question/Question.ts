/**
 * A question that an MCP server puts to the person of a session while one of its tools runs: what the person is shown,
 * and what an answer may be. The answer itself is for the server alone: it is handed over and kept nowhere.
 */
import { Effect, Schema } from "effect"
import * as Identifier from "../Identifier.ts"
import { SessionId } from "../session/SessionId.ts"

export const QuestionId = Identifier.schema("ques").pipe(Schema.brand("QuestionId"))
export type QuestionId = typeof QuestionId.Type

export const generateQuestionId = Effect.map(Identifier.generate("ques"), (id) => QuestionId.make(id))

/** Milliseconds that a person has to answer; after that the server is told that the question was cancelled. */
export const EXPIRY = 300_000

/** Questions that may wait in one session, its sub-agents' among them; further ones are declined. */
export const MAX_OPEN = 8

export const questionFields = {
  questionId: QuestionId,
  /** The MCP server that asks, as it is declared. */
  server: Schema.String,
  /** In the server's words. */
  message: Schema.String,
  /** JSON Schema of the answer: an object whose properties are texts, numbers, yes or no, and choices. */
  schema: Schema.JsonObject,
  /** Unix time in milliseconds: from then on nobody waits for an answer. */
  expiresAt: Schema.Int,
  /** Of a sub-agent's: the sub-sessions from this session down to the one that asks. */
  path: Schema.optionalKey(Schema.Array(SessionId))
}

/** One that waits for its answer. */
export const Question = Schema.Struct(questionFields)
export type Question = typeof Question.Type

/** `decline`: the person does not want to say. `cancel`: the person does not want to be asked. */
export const QuestionAction = Schema.Literals(["accept", "decline", "cancel"])
export type QuestionAction = typeof QuestionAction.Type

/** `expired`: nobody answered in time. `withdrawn`: what asked is over. */
export const QuestionEnd = Schema.Literals(["accept", "decline", "cancel", "expired", "withdrawn"])
export type QuestionEnd = typeof QuestionEnd.Type

/** Fields of a form. */
export const MAX_FIELDS = 50
/** Characters of a text in an answer. */
export const MAX_TEXT = 10_000

const Text = Schema.String.check(Schema.isMaxLength(MAX_TEXT))

/** By the names of the schema's properties. */
export const AnswerContent = Schema.Record(
  Schema.String,
  Schema.Union([Text, Schema.Finite, Schema.Boolean, Schema.Array(Text).check(Schema.isMaxLength(200))])
).check(
  Schema.makeFilter((content) =>
    Object.keys(content).length <= MAX_FIELDS ? undefined : `at most ${MAX_FIELDS} values`
  )
)
export type AnswerContent = typeof AnswerContent.Type

/** What a server hears. */
export type Answer =
  | { readonly action: "accept"; readonly content: AnswerContent }
  | { readonly action: "decline" | "cancel" }

export class QuestionNotFound extends Schema.TaggedError<QuestionNotFound>()("QuestionNotFound", {
  sessionId: SessionId,
  questionId: QuestionId
}) {
  override get message() {
    return `session ${this.sessionId} asks no question ${this.questionId}; see "espalier session questions ${this.sessionId}"`
  }
}

/** Nobody answered in time, and the server waits no longer. */
export class QuestionExpired extends Schema.TaggedError<QuestionExpired>()("QuestionExpired", {
  questionId: QuestionId
}) {
  override get message() {
    return `question ${this.questionId} was not answered in time, and nobody waits for the answer any more; ask the session to try again`
  }
}

/** It is the person of the session that is asked. */
export class QuestionNotYours extends Schema.TaggedError<QuestionNotYours>()("QuestionNotYours", {
  questionId: QuestionId
}) {
  override get message() {
    return `question ${this.questionId} is put to another person, who alone may answer it`
  }
}

/** An answer counts once, and none counts once the question is not asked any more. */
export class QuestionAlreadySettled extends Schema.TaggedError<QuestionAlreadySettled>()("QuestionAlreadySettled", {
  questionId: QuestionId,
  action: QuestionEnd
}) {
  override get message() {
    return this.action === "withdrawn"
      ? `question ${this.questionId} is not asked any more: the call that asked it is over`
      : `question ${this.questionId} has been answered (${this.action}), and an answer counts once`
  }
}
