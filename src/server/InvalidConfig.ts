import { type Config, Schema } from "effect"
import { InvalidInput } from "../../services/InvalidInput.ts"

/** A setting, from the environment or a flag, that cannot be used. */
export class InvalidConfig extends Schema.TaggedError<InvalidConfig>()("InvalidConfig", { detail: Schema.String }) {
  static fromConfig(error: Config.ConfigError): InvalidConfig {
    if (error.cause._tag !== "SchemaError") return new InvalidConfig({ detail: error.message })
    const { issues } = InvalidInput.fromSchema(error.cause)
    return new InvalidConfig({ detail: issues.map(({ message, path }) => `${path}: ${message}`).join("; ") })
  }

  override get message() {
    return `a setting cannot be used: ${this.detail}`
  }
}
