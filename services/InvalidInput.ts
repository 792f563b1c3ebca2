/** Input that does not fit: every place that is wrong, with the reason. Nothing was changed. */
import { Schema, SchemaIssue } from "effect"

export const InputIssue = Schema.Struct({
  /** Where in the input, keys joined by ".": empty for the input as a whole. */
  path: Schema.String,
  message: Schema.String
})
export type InputIssue = typeof InputIssue.Type

const format = SchemaIssue.makeFormatterStandardSchemaV1()

export class InvalidInput extends Schema.TaggedError<InvalidInput>()("InvalidInput", {
  /** What the input was for: `SendMessage`, `tool analyze_codebase`. */
  subject: Schema.String,
  issues: Schema.Array(InputIssue)
}) {
  static fromSchema(error: Schema.SchemaError, subject = "input"): InvalidInput {
    return new InvalidInput({
      subject,
      issues: format(error.issue).issues.map(({ message, path }) => ({
        path: (path ?? []).map((key) => String(typeof key === "object" ? key.key : key)).join("."),
        message
      }))
    })
  }

  override get message() {
    const lines = this.issues.map(({ message, path }) => (path === "" ? message : `${path}: ${message}`))
    return `${this.subject} does not fit: ${lines.join("; ")}`
  }
}
