import { Schema } from "effect"

/** The server, or this connection, has as many calls under way as it takes. Nothing was done; safe to retry. */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", {
  limit: Schema.Int,
  /** What there are too many of: calls, where nothing is said. */
  of: Schema.optionalKey(Schema.Literals(["subscriptions"]))
}) {
  override get message() {
    return `${this.limit} ${this.of ?? "calls"} are under way, which is all there may be; try again later`
  }
}
