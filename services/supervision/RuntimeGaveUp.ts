import { Schema } from "effect"

/** Restarts did not cure what is wrong, all the way up to the root of the tree: the runtime has stopped. */
export class RuntimeGaveUp extends Schema.TaggedError<RuntimeGaveUp>()("RuntimeGaveUp", {}) {
  override get message() {
    return "the runtime gave up: a part crashed again and again, as the log tells; nothing that was acknowledged is lost"
  }
}
