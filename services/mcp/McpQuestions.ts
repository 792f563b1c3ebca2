/**
 * Answers what a server asks while one of its tools runs: to complete a text by the runtime's model (sampling), or to
 * put a question to the person (elicitation).
 *
 * A server is told of an ability only where it is there, so whoever has no answers declines as the protocol says. The
 * session is that of the calls under way on the server; where they are of several sessions, nobody is asked.
 */
import { Context, type Effect } from "effect"
import type { Answer } from "../question/Question.ts"
import type { AskedOfSession } from "../session/SessionDesk.ts"
import type { SessionId } from "../session/SessionId.ts"

export interface SamplingRequest {
  readonly server: string
  /** At whose expense. */
  readonly sessionId: SessionId
  readonly system: string
  readonly messages: ReadonlyArray<{ readonly role: "user" | "assistant"; readonly text: string }>
  /** Of the answer. */
  readonly maxTokens: number
  /** The answer ends before the first of these. */
  readonly stopSequences: ReadonlyArray<string>
}

export interface Sampled {
  /** The model that answered. */
  readonly model: string
  readonly text: string
  readonly stopReason: "endTurn" | "stopSequence" | "maxTokens" | "refusal"
}

export interface McpQuestionsShape {
  /** Only for servers that were granted it. The failure is a sentence. */
  readonly sample?: ((request: SamplingRequest) => Effect.Effect<Sampled, string>) | undefined
  /** Interrupted when the server wants no answer any more, or cannot have one. */
  readonly ask?: ((question: AskedOfSession) => Effect.Effect<Answer>) | undefined
}

export class McpQuestions extends Context.Service<McpQuestions, McpQuestionsShape>()("espalier/mcp/McpQuestions") {}
