/**
 * Where those who work for a session from afar turn to it: an MCP server that asks its person something, or has the
 * model do something at its expense.
 *
 * Tools are there before the sessions that call them, and know nothing of them. So both know this desk: whoever has the
 * sessions attends it for as long as they run, and where nobody does, everything is declined.
 */
import { Context, type Effect, type Scope } from "effect"
import type { ModelAnswer } from "../model/ModelAnswer.ts"
import type { Answer, Question } from "../question/Question.ts"
import type { SessionId } from "./SessionId.ts"

export type AskedOfSession = Pick<Question, "server" | "message" | "schema"> & { readonly sessionId: SessionId }

/** What is done for an MCP server at a session's expense. */
export interface Charge {
  readonly sessionId: SessionId
  readonly server: string
  /** Tokens that the model is shown for it (default: a few). */
  readonly shown?: number | undefined
  /** Tokens that it may answer with. */
  readonly maxTokens?: number | undefined
}

export interface SessionClerk {
  /** Puts a question to the session's person. Interrupting it withdraws the question. */
  readonly ask: (question: AskedOfSession) => Effect.Effect<Answer>
  /**
   * Does the work if the session may still use something up, and has what it took counted there before the result is
   * given. The failure is a sentence.
   */
  readonly charge: <A extends { readonly answer: ModelAnswer | undefined }>(
    charge: Charge,
    work: Effect.Effect<A, string>
  ) => Effect.Effect<A, string>
}

export class SessionDesk extends Context.Service<
  SessionDesk,
  SessionClerk & {
    /** From now until the scope ends. */
    readonly attend: (clerk: SessionClerk) => Effect.Effect<void, never, Scope.Scope>
  }
>()("espalier/session/SessionDesk") {}
