/** How a turn that was waited for ended without an answer. */
import { Schema } from "effect"

/** The turn that was waited for did not complete. */
export class TurnFailed extends Schema.TaggedError<TurnFailed>()("TurnFailed", {
  code: Schema.String,
  message: Schema.String
}) {}

/** The turn that was waited for was cancelled, by somebody else. */
export class TurnCancelled extends Schema.TaggedError<TurnCancelled>()("TurnCancelled", {}) {
  override get message() {
    return "the turn was cancelled before it had answered"
  }
}
