/** What a session does for the questions that are asked of its person: they expire, go up and down the tree, and die with who asked. */
import { Effect } from "effect"
import type { AnswerContent, Question, QuestionId } from "../../services/question/Question.ts"
import type * as Settling from "../../services/question/Settling.ts"
import { Command } from "../../services/session/decide.ts"
import { answerToQuestion, atTime, type Life, persist, report, tell } from "./LiveSession.ts"
import { askedAt } from "./QuestionDesk.ts"
import type { JournalService } from "./SessionStore.ts"
import type { SubSessions } from "./SubSessions.ts"

interface Around {
  readonly journal: JournalService
  readonly subSessions: Pick<SubSessions, "askQuestionAbove" | "tellOthers">
  /** Runs beside the session's fiber, in its scope. */
  readonly inLife: (life: Life, work: Effect.Effect<unknown, unknown>) => Effect.Effect<void>
}

export const make = ({ inLife, journal, subSessions }: Around) => {
  /** Lets a question expire, and asks it above where a session is. */
  const keep = (life: Life, question: Question): Effect.Effect<void> => {
    const { expiresAt, questionId } = question
    const expiry = atTime(life, expiresAt, (now) => Command.ExpireQuestion({ questionId, now }))
    const kept = inLife(life, Effect.raceFirst(answerToQuestion(life.live, questionId), expiry))
    return life.live.state.parent === undefined
      ? kept
      : Effect.andThen(kept, inLife(life, subSessions.askQuestionAbove(life, question)))
  }

  /** Nobody waits for the answer any more. First of all that is said, so that no answer comes before it. */
  const withdraw = (life: Life, questionId: QuestionId): Effect.Effect<void> => {
    const command = Command.WithdrawQuestion({ questionId })
    return Effect.andThen(tell(life.live, command), inLife(life, report(life.live, life.inbox, command)))
  }

  const keepAgain = (life: Life, sequence: number): Effect.Effect<void> =>
    inLife(
      life,
      Effect.flatMap(persist(askedAt(journal, life.live.id, sequence)), (question) =>
        question === undefined ? Effect.void : keep(life, question)
      )
    )

  return {
    keep,
    /**
     * Those that a crash has left behind. Whoever asked for the session itself was told that it broke off; a sub-agent's
     * goes on, unless it is told that it is over.
     */
    takeUp: (life: Life): Effect.Effect<void> =>
      Effect.forEach(
        life.live.state.questions.pending,
        ({ path, questionId, sequence }) =>
          path === undefined ? withdraw(life, questionId) : keepAgain(life, sequence),
        { discard: true }
      ),
    tellOthers: (life: Life, told: Settling.Settled, content: AnswerContent | undefined): Effect.Effect<void> =>
      life.live.state.parent === undefined && told.path === undefined
        ? Effect.void
        : inLife(life, subSessions.tellOthers(life, told, Command.FollowQuestion({ told, content })))
  }
}
