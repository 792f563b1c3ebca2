/**
 * Questions of MCP servers to the person of a session, from both sides: a server's that asks, and persons' who see what
 * is asked and answer.
 */
import { Clock, Effect, Option, type Schema } from "effect"
import { Person } from "../../services/access/Person.ts"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { check, fieldsOf } from "../../services/question/Form.ts"
import {
  type Answer,
  type AnswerContent,
  EXPIRY,
  generateQuestionId,
  type QuestionId,
  QuestionNotYours
} from "../../services/question/Question.ts"
import { Command } from "../../services/session/decide.ts"
import type { AskedOfSession } from "../../services/session/SessionDesk.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { type QuestionReply, SessionInterrupted } from "../../services/session/SessionManager.ts"
import { ToolCall } from "../../services/tools/Tool.ts"
import * as LiveSession from "./LiveSession.ts"
import { openSession, type Reachable } from "./openSession.ts"
import { eventAt, type JournalService } from "./SessionStore.ts"

/** What is asked, as it was journaled. */
export const askedAt = (journal: JournalService, sessionId: SessionId, sequence: number) =>
  Effect.map(eventAt(journal, sessionId, sequence), (recorded) => {
    if (recorded?.event._tag !== "QuestionAsked") return undefined
    const { _tag, ...question } = recorded.event
    return question
  })

const issuesOf = (schema: Schema.JsonObject, content: AnswerContent) => check(fieldsOf(schema) ?? [], content)

const declined: Answer = { action: "decline" }
const cancelled: Answer = { action: "cancel" }

export interface Options extends Reachable {
  /** The process stops, and with it, soon, whoever asks. */
  readonly isClosing: () => boolean
}

export const make = ({ isClosing, journal, reach }: Options) => {
  /** A call that is cut off by a shutdown has no outcome: the next start takes it up. */
  const brokenOff = Effect.suspend(() => (isClosing() ? Effect.never : Effect.succeed(cancelled)))

  /** Nobody is asked where nobody can answer; where the session breaks off, so does the question. */
  const ask = ({ message, schema, server, sessionId }: AskedOfSession): Effect.Effect<Answer> =>
    Effect.gen(function* () {
      const session = yield* reach(sessionId)
      const questionId = yield* generateQuestionId
      const expiresAt = (yield* Clock.currentTimeMillis) + EXPIRY
      const question = { questionId, server, message, schema, expiresAt }
      return yield* Effect.uninterruptibleMask((restore) => {
        // Registered first: it may be settled in the same instant in which it is journaled.
        const answer = LiveSession.answerToQuestion(session, questionId)
        return LiveSession.decide(session, Command.AskQuestion({ question })).pipe(
          Effect.onError(() => Effect.sync(() => session.questions?.delete(questionId))),
          Effect.andThen(
            restore(answer).pipe(
              Effect.onInterrupt(() => LiveSession.tell(session, Command.WithdrawQuestion({ questionId })))
            )
          )
        )
      })
    }).pipe(
      Effect.catchTag("SessionInterrupted", () => brokenOff),
      Effect.catch(() => Effect.succeed(declined))
    )

  const questions = Effect.fnUntraced(function* (sessionId: SessionId) {
    const session = yield* openSession({ journal, reach }, sessionId)
    const pending = session?.state.questions.pending ?? []
    const asked = yield* Effect.forEach(pending, ({ sequence }) => askedAt(journal, sessionId, sequence))
    return asked.filter((question) => question !== undefined)
  })

  const isFitting = Effect.fnUntraced(function* (
    session: LiveSession.LiveSession,
    questionId: QuestionId,
    content: AnswerContent,
    person: string
  ) {
    const pending = session.state.questions.pending.find((asked) => asked.questionId === questionId)
    // That it is not asked, or of somebody else, is told by what decides.
    if (pending === undefined || person !== session.state.owner) return
    const asked = yield* askedAt(journal, session.id, pending.sequence)
    const issues = asked === undefined ? [] : issuesOf(asked.schema, content)
    if (issues.length > 0) return yield* new InvalidInput({ subject: `the answer to ${questionId}`, issues })
  })

  const answer = Effect.fnUntraced(function* ({ action, content = {}, questionId, sessionId }: QuestionReply) {
    // Whatever a tool gets hold of while it runs, it is no person.
    if (Option.isSome(yield* Effect.serviceOption(ToolCall))) return yield* new QuestionNotYours({ questionId })
    // What waits for an answer keeps its session in memory.
    const session = yield* reach(sessionId)
    const person = yield* Person
    if (action === "accept") yield* isFitting(session, questionId, content, person)
    const now = yield* Clock.currentTimeMillis
    const said = action === "accept" ? content : undefined
    // The session that asks decides, wherever it is answered: of two answers at the same time one counts.
    const asker = session.state.questions.pending.find((asked) => asked.questionId === questionId)?.path?.at(-1)
    const at = asker === undefined ? session : yield* reach(asker)
    yield* LiveSession.decide(at, Command.AnswerQuestion({ questionId, action, content: said, person, now })).pipe(
      Effect.catchTag("MailboxFull", () => Effect.fail(new SessionInterrupted({ sessionId }))),
      Effect.catchTag([...LiveSession.ofTurns, ...LiveSession.ofPermissions, "QuestionNotAsked"], Effect.die)
    )
  })

  return { answer, ask, questions }
}
