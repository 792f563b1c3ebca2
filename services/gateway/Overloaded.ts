import { Schema } from "effect"

/** The server, or this connection, has as many calls under way as it takes. Nothing was done; safe to retry. */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", { limit: Schema.Int }) {
  override get message() {
    return `${this.limit} calls are under way, which is all there may be; try again later`
  }
}
