/**
 * Answers what a server asks while one of its tools runs: to complete a text by the runtime's model (sampling), or to
 * put a question to the person (elicitation).
 *
 * A server is told of an ability only where it is there, so whoever has no answers declines as the protocol says. The
 * session is that of the calls under way on the server; where they are of several sessions, nobody is asked.
 */
import { Context, type Effect, type Schema } from "effect"
import type { SessionId } from "../session/SessionId.ts"

export interface SamplingRequest {
  readonly system: string
  readonly messages: ReadonlyArray<{ readonly role: "user" | "assistant"; readonly text: string }>
  readonly maxTokens: number
}

export interface Question {
  readonly server: string
  readonly sessionId: SessionId
  readonly message: string
  /** JSON Schema of the answer: an object of primitives. */
  readonly schema: Schema.JsonObject
}

export type Answer =
  | {
      readonly action: "accept"
      readonly content: Readonly<Record<string, string | number | boolean | ReadonlyArray<string>>>
    }
  | { readonly action: "decline" | "cancel" }

export interface McpQuestionsShape {
  /** Only for servers that were granted it. The failure is a sentence. */
  readonly sample?:
    | ((request: SamplingRequest) => Effect.Effect<{ readonly model: string; readonly text: string }, string>)
    | undefined
  readonly ask?: ((question: Question) => Effect.Effect<Answer>) | undefined
}

export class McpQuestions extends Context.Service<McpQuestions, McpQuestionsShape>()("espalier/mcp/McpQuestions") {}
