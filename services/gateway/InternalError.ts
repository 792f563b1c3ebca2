import { Schema } from "effect"

/** Something broke that should not have. The log holds the details under the same id; nothing of them is sent. */
export class InternalError extends Schema.TaggedError<InternalError>()("InternalError", { errorId: Schema.String }) {
  override get message() {
    return `the server could not do this; its log tells why under ${this.errorId}`
  }
}
