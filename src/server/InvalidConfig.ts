import { type Config, Schema } from "effect"
import { type InputIssue, InvalidInput } from "../../services/InvalidInput.ts"

/** A setting, from the environment or a flag, that cannot be used. */
export class InvalidConfig extends Schema.TaggedError<InvalidConfig>()("InvalidConfig", { detail: Schema.String }) {
  static fromConfig(error: Config.ConfigError): InvalidConfig {
    if (error.cause._tag !== "SchemaError") return new InvalidConfig({ detail: error.message })
    const { issues } = InvalidInput.fromSchema(error.cause)
    return new InvalidConfig({ detail: issues.map(({ message, path }) => `${path}: ${message}`).join("; ") })
  }

  /** `subject` is the setting as a whole. */
  static fromIssues(subject: string, issues: ReadonlyArray<InputIssue>): InvalidConfig {
    const lines = issues.map(({ message, path }) => `${path === "" ? subject : `${subject}.${path}`}: ${message}`)
    return new InvalidConfig({ detail: lines.join("; ") })
  }

  override get message() {
    return `a setting cannot be used: ${this.detail}`
  }
}
