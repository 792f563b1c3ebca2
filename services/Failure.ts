/** How a step failed, as it is journaled and shown: a stable code (see `services/gateway/ErrorCodes.ts`) and a sentence. */
import { Schema } from "effect"

export const Failure = Schema.Struct({
  /** Snake case, stable across releases: `tool_not_found`, `deadline_exceeded` … */
  code: Schema.String,
  /** What was found and what to do about it. Never a stack. */
  message: Schema.String,
  /** Milliseconds after which the same may work; absent where waiting does not help. */
  retryAfter: Schema.optionalKey(Schema.Int)
})
export type Failure = typeof Failure.Type
