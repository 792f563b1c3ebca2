import { Schema } from "effect"

/** Another program listens on the port. */
export class PortInUse extends Schema.TaggedError<PortInUse>()("PortInUse", {
  host: Schema.String,
  port: Schema.Int
}) {
  override get message() {
    return `port ${this.port} of ${this.host} is in use; stop the program that has it, or choose another with --port or ESPALIER_PORT`
  }
}

/** The address cannot be listened on: it is not this machine's, or needs more rights. */
export class AddressUnavailable extends Schema.TaggedError<AddressUnavailable>()("AddressUnavailable", {
  host: Schema.String,
  port: Schema.Int,
  detail: Schema.String
}) {
  override get message() {
    return `cannot listen on ${this.host}:${this.port} (${this.detail}); choose another with --port or ESPALIER_PORT`
  }
}
