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

/** The turn that was waited for came to a call that a person has to allow, and nobody was there. */
export class PermissionNeeded extends Schema.TaggedError<PermissionNeeded>()("PermissionNeeded", {
  tool: Schema.String,
  /** As it may be shown: on one line, with nothing hidden. */
  args: Schema.String
}) {
  override get message() {
    return `${this.tool} ${this.args} needs a person's permission, and nobody is there; allow the tool by a rule of the session (--allow "${this.tool}"), or use "espalier chat"`
  }
}
