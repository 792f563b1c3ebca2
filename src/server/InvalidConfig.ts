import { type Config, Schema } from "effect"

/** A setting, from the environment or a flag, that cannot be used. */
export class InvalidConfig extends Schema.TaggedError<InvalidConfig>()("InvalidConfig", { detail: Schema.String }) {
  static fromConfig(error: Config.ConfigError): InvalidConfig {
    return new InvalidConfig({ detail: error.message.replaceAll(/\s*\n\s*/g, " ") })
  }

  override get message() {
    return `a setting cannot be used: ${this.detail}`
  }
}
