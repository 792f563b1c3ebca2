/**
 * Circuit breakers: one for each thing the runtime depends on and cannot mend (an MCP server, a model provider, a tool).
 *
 * After a few failures in a row a breaker opens and refuses calls at once, with the time after which to try again. When
 * that time is over exactly one call is let through: if it succeeds the breaker closes, if it fails the breaker opens
 * again for longer, up to a cap. Interruptions and errors that say nothing of the dependency's health (bad input, a
 * rate limit) count neither way. Each change of state is an event on `system:health`.
 */
import { Context, type Duration, type Effect, Schema } from "effect"

/** Colon-separated and known to operators: `tool:analyze_codebase`, `mcp:files`, `model:openai`. */
export type BreakerName = string

/** The dependency has failed again and again and is left alone for a while. The call was not made. */
export class BreakerOpen extends Schema.TaggedError<BreakerOpen>()("BreakerOpen", {
  breaker: Schema.String,
  /** Milliseconds after which a call may be let through. */
  retryAfter: Schema.Int
}) {
  override get message() {
    return `${this.breaker} has failed several times in a row and is not called for now; try again in ${Math.ceil(this.retryAfter / 1000)} s`
  }
}

/** What an operator sees of a breaker. */
export const BreakerStatus = Schema.Struct({
  name: Schema.String,
  state: Schema.Literals(["closed", "open", "half_open"]),
  /** In a row, since the last success; of an open breaker those that opened it. */
  failures: Schema.Int,
  /** In a row, without a lasting recovery in between: each is open for longer than the one before. */
  openings: Schema.Int,
  /** Calls refused since the process started. */
  refused: Schema.Int,
  /** Milliseconds until a call may be let through; 0 when it may be now. */
  retryAfter: Schema.Int
})
export type BreakerStatus = typeof BreakerStatus.Type

export interface GuardOptions<E, A2, E2, R2> {
  /** Whether an error says that the dependency is unwell; by default every error does. A defect always does. */
  readonly isFailure?: ((error: E) => boolean) | undefined
  /** How long the dependency itself asks to be left alone: a breaker that this failure opens stays open that long. */
  readonly retryAfter?: ((error: E) => Duration.Input | undefined) | undefined
  /** What to do in place of a refusal. */
  readonly fallback?: ((refusal: BreakerOpen) => Effect.Effect<A2, E2, R2>) | undefined
}

export class Breakers extends Context.Service<
  Breakers,
  {
    /** Makes the call, or refuses it without making it. */
    readonly guard: <A, E, R, A2 = never, E2 = BreakerOpen, R2 = never>(
      name: BreakerName,
      call: Effect.Effect<A, E, R>,
      options?: GuardOptions<E, A2, E2, R2>
    ) => Effect.Effect<A | A2, E | E2, R | R2>
    /** One that nothing was called through yet is closed. */
    readonly state: (name: BreakerName) => Effect.Effect<BreakerStatus>
    /** Those that calls were made through lately, by name. */
    readonly list: Effect.Effect<ReadonlyArray<BreakerStatus>>
  }
>()("espalier/limits/Breakers") {}
