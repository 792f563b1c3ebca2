import { Schema } from "effect"

/** The server is stopping and takes nothing new. What it had accepted goes on after its next start. */
export class ShuttingDown extends Schema.TaggedError<ShuttingDown>()("ShuttingDown", {}) {
  override get message() {
    return "the server is shutting down; try again once it is back"
  }
}
