import { Schema } from "effect"

/** No server answers at the address, or the connection broke before the answer came. */
export class ServerUnreachable extends Schema.TaggedError<ServerUnreachable>()("ServerUnreachable", {
  url: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `no answer from ${this.url} (${this.detail}); is it running? Start it with "npm start" or "espalier serve"`
  }
}
