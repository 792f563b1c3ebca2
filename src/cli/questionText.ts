/** What an MCP server asks, as a person may be shown it: all of it is a stranger's words. */
import { Clock, Effect } from "effect"
import { type Field, fieldsOf, wants } from "../../services/question/Form.ts"
import type { Question } from "../../services/question/Question.ts"
import { visible } from "../../services/permission/visible.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const standard = (field: Field): string => {
  switch (field.kind) {
    case "boolean":
      return field.default === undefined ? "" : field.default ? "yes" : "no"
    case "choices":
      return (field.default ?? []).join(", ")
    default:
      return String(field.default ?? "")
  }
}

/** Choices by number, with their titles where they have any. */
const choices = (field: Field): ReadonlyArray<string> =>
  "options" in field
    ? field.options.map(({ title, value }, at) => `  ${at + 1}) ${title === value ? value : `${title} (${value})`}`)
    : []

/** What is to be known of a field before it is filled in. */
export const fieldText = (field: Field): ReadonlyArray<string> => {
  const { description, isRequired, name, title } = field
  const called = title === name ? name : `${title} (${name})`
  const rest = standard(field)
  const wanted = field.kind === "choice" ? "one of" : field.kind === "choices" ? "some of, by commas" : wants(field)
  return [
    `${called}${description === "" ? "" : `: ${description}`}`,
    `  ${wanted}; ${rest === "" ? (isRequired ? "required" : "may be left out") : `without an answer ${rest}`}`,
    ...choices(field)
  ].map(visible)
}

export const fieldsIn = ({ schema }: Question): ReadonlyArray<Field> => fieldsOf(schema) ?? []

/** All of a question. */
export const questionText = (question: Question): Effect.Effect<string> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const { expiresAt, message, path = [], questionId, server } = question
    return [
      Table.facts([
        ["question", questionId],
        ["MCP server", visible(server)],
        ["asks", visible(message)],
        ["asked by", path.length === 0 ? "" : `sub-session ${path.join(" / ")}`],
        ["expires", `in ${Terminal.duration(Math.max(0, expiresAt - now))}`]
      ]),
      ...fieldsIn(question).flatMap(fieldText)
    ].join("\n")
  })
