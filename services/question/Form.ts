/**
 * The form that a question's schema describes: its fields in their order, what each takes, and what is wrong with an
 * answer. The schemas of MCP are a small part of JSON Schema, so a person can be asked field by field, and everybody
 * (the runtime, a command line, a page) decides alike what fits.
 */
import { DateTime, Option, Result, Schema } from "effect"
import type { InputIssue } from "../InvalidInput.ts"
import { type AnswerContent, MAX_FIELDS, MAX_TEXT } from "./Question.ts"

/** Of one form. */
export const limits = { fields: MAX_FIELDS, options: 200, characters: 32 * 1024 } as const

const Count = Schema.optionalKey(Schema.Finite)
const shown = { title: Schema.optionalKey(Schema.String), description: Schema.optionalKey(Schema.String) }
const Titled = Schema.Struct({ const: Schema.String, title: Schema.optionalKey(Schema.String) })

const Property = Schema.Union([
  Schema.Struct({
    ...shown,
    type: Schema.Literal("string"),
    enum: Schema.Array(Schema.String),
    enumNames: Schema.optionalKey(Schema.Array(Schema.String)),
    default: Schema.optionalKey(Schema.String)
  }),
  Schema.Struct({
    ...shown,
    type: Schema.Literal("string"),
    oneOf: Schema.Array(Titled),
    default: Schema.optionalKey(Schema.String)
  }),
  Schema.Struct({
    ...shown,
    type: Schema.Literal("string"),
    minLength: Count,
    maxLength: Count,
    format: Schema.optionalKey(Schema.String),
    default: Schema.optionalKey(Schema.String)
  }),
  Schema.Struct({
    ...shown,
    type: Schema.Literals(["number", "integer"]),
    minimum: Count,
    maximum: Count,
    default: Count
  }),
  Schema.Struct({ ...shown, type: Schema.Literal("boolean"), default: Schema.optionalKey(Schema.Boolean) }),
  Schema.Struct({
    ...shown,
    type: Schema.Literal("array"),
    items: Schema.Union([
      Schema.Struct({ enum: Schema.Array(Schema.String) }),
      Schema.Struct({ anyOf: Schema.Array(Titled) })
    ]),
    minItems: Count,
    maxItems: Count,
    default: Schema.optionalKey(Schema.Array(Schema.String))
  })
])

const Form = Schema.Struct({
  type: Schema.Literal("object"),
  properties: Schema.Record(Schema.String, Property),
  required: Schema.optionalKey(Schema.Array(Schema.String))
})

const decode = Schema.decodeUnknownOption(Form)

export interface Choice {
  readonly value: string
  readonly title: string
}

interface Shown {
  readonly name: string
  readonly title: string
  readonly description: string
  readonly isRequired: boolean
}

export type Field = Shown &
  (
    | {
        readonly kind: "text"
        readonly minLength: number
        readonly maxLength: number
        readonly format: string | undefined
        readonly default: string | undefined
      }
    | {
        readonly kind: "number"
        readonly isInteger: boolean
        readonly minimum: number | undefined
        readonly maximum: number | undefined
        readonly default: number | undefined
      }
    | { readonly kind: "boolean"; readonly default: boolean | undefined }
    | { readonly kind: "choice"; readonly options: ReadonlyArray<Choice>; readonly default: string | undefined }
    | {
        readonly kind: "choices"
        readonly options: ReadonlyArray<Choice>
        readonly minItems: number
        readonly maxItems: number
        readonly default: ReadonlyArray<string> | undefined
      }
  )

export type Value = AnswerContent[string]

const titled = (options: ReadonlyArray<typeof Titled.Type>): ReadonlyArray<Choice> =>
  options.map(({ const: value, title = value }) => ({ value, title }))

const fieldOf = (name: string, property: typeof Property.Type, isRequired: boolean): Field => {
  const { description = "", title = name } = property
  const about = { name, title, description, isRequired }
  switch (property.type) {
    case "boolean":
      return { ...about, kind: "boolean", default: property.default }
    case "array": {
      const { items, maxItems = Infinity, minItems = 0 } = property
      const options = "anyOf" in items ? titled(items.anyOf) : titled(items.enum.map((value) => ({ const: value })))
      return { ...about, kind: "choices", options, minItems, maxItems, default: property.default }
    }
    case "string": {
      if ("oneOf" in property) {
        return { ...about, kind: "choice", options: titled(property.oneOf), default: property.default }
      }
      if ("enum" in property) {
        const { enum: values, enumNames = [] } = property
        const options = values.map((value, index) => ({ value, title: enumNames[index] ?? value }))
        return { ...about, kind: "choice", options, default: property.default }
      }
      const { format, maxLength = MAX_TEXT, minLength = 0 } = property
      return { ...about, kind: "text", minLength, maxLength, format, default: property.default }
    }
    // number, integer
    default:
      return {
        ...about,
        kind: "number",
        isInteger: property.type === "integer",
        minimum: property.minimum,
        maximum: property.maximum,
        default: property.default
      }
  }
}

/** The fields in the server's order, or nothing where the schema is no form, or too large a one to show a person. */
export const fieldsOf = (schema: Schema.JsonObject): ReadonlyArray<Field> | undefined => {
  if (JSON.stringify(schema).length > limits.characters) return undefined
  const form = Option.getOrUndefined(decode(schema))
  if (form === undefined) return undefined
  const { properties, required = [] } = form
  const names = Object.keys(properties)
  if (names.length > limits.fields || required.some((name) => !names.includes(name))) return undefined
  const fields = Object.entries(properties).map(([name, property]) => fieldOf(name, property, required.includes(name)))
  return fields.some((field) => "options" in field && field.options.length > limits.options) ? undefined : fields
}

/** Written out, so that none takes more than one look at each character. */
const isEmail = (text: string): boolean => {
  const [local = "", domain = "", ...rest] = text.split("@")
  const labels = domain.split(".")
  return rest.length === 0 && local !== "" && !/\s/.test(text) && labels.length > 1 && labels.every((one) => one !== "")
}

/** Of a day that there is. */
const isDate = (text: string): boolean =>
  /^\d{4}-\d{2}-\d{2}$/.test(text) &&
  Option.exists(DateTime.make(`${text}T00:00:00Z`), (time) => DateTime.formatIsoDateUtc(time) === text)

const isTime = (text: string): boolean =>
  /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/.test(text) &&
  isDate(text.slice(0, 10)) &&
  Option.isSome(DateTime.make(text.toUpperCase()))

const formats: Readonly<Record<string, { readonly fits: (text: string) => boolean; readonly what: string }>> = {
  email: { fits: isEmail, what: "an e-mail address: ann@example.com" },
  uri: { fits: (text) => URL.canParse(text), what: "a whole address: https://example.com/" },
  date: { fits: isDate, what: "a date: 2026-01-31" },
  "date-time": { fits: isTime, what: "a date and time with its zone: 2026-01-31T12:00:00Z" }
}

const oneOf = (options: ReadonlyArray<Choice>): string => `one of ${options.map(({ value }) => value).join(", ")}`

/** What a field wants, in words that follow "it has to be". */
export const wants = (field: Field): string => {
  switch (field.kind) {
    case "text": {
      const { format = "", maxLength, minLength } = field
      const known = formats[format]
      const length = `${minLength > 0 ? `at least ${minLength}` : "any number of"} characters${maxLength < MAX_TEXT ? `, at most ${maxLength}` : ""}`
      return known === undefined ? `a text of ${length}` : known.what
    }
    case "number": {
      const { isInteger, maximum, minimum } = field
      const range = [
        ...(minimum === undefined ? [] : [`at least ${minimum}`]),
        ...(maximum === undefined ? [] : [`at most ${maximum}`])
      ]
      return [isInteger ? "a whole number" : "a number", ...range].join(", ")
    }
    case "boolean":
      return "yes or no"
    case "choice":
      return oneOf(field.options)
    // choices
    default: {
      const { maxItems, minItems, options } = field
      return `${minItems > 0 ? `at least ${minItems}` : "any"}${maxItems < options.length ? ` and at most ${maxItems}` : ""} of ${options.map(({ value }) => value).join(", ")}`
    }
  }
}

const fits = (field: Field, value: Value): boolean => {
  switch (field.kind) {
    case "text": {
      if (typeof value !== "string") return false
      const length = Array.from(value).length
      const isOfLength = length >= field.minLength && length <= field.maxLength
      return isOfLength && (formats[field.format ?? ""]?.fits(value) ?? true)
    }
    case "number":
      return (
        typeof value === "number" &&
        Number.isFinite(value) &&
        (!field.isInteger || Number.isInteger(value)) &&
        value >= (field.minimum ?? -Infinity) &&
        value <= (field.maximum ?? Infinity)
      )
    case "boolean":
      return typeof value === "boolean"
    case "choice":
      return typeof value === "string" && field.options.some((option) => option.value === value)
    // choices
    default:
      return (
        typeof value === "object" &&
        value.length >= field.minItems &&
        value.length <= field.maxItems &&
        value.every((one) => field.options.some((option) => option.value === one))
      )
  }
}

/** What is wrong with an answer; empty when it fits. A field with a default may be left out: the server's default counts. */
export const check = (fields: ReadonlyArray<Field>, content: AnswerContent): ReadonlyArray<InputIssue> => [
  ...Object.keys(content).flatMap((name) =>
    fields.some((field) => field.name === name) ? [] : [{ path: name, message: "nothing of that name is asked for" }]
  ),
  ...fields.flatMap((field): ReadonlyArray<InputIssue> => {
    const { default: standard, isRequired, name } = field
    const value = Object.hasOwn(content, name) ? content[name] : undefined
    if (value === undefined) {
      return isRequired && standard === undefined ? [{ path: name, message: "it is required" }] : []
    }
    return fits(field, value) ? [] : [{ path: name, message: `it has to be ${wants(field)}` }]
  })
]

/** By its value, its title or its place in the list. */
const chosen = (options: ReadonlyArray<Choice>, text: string): string =>
  (
    options.find(({ value }) => value === text) ??
    options.find(({ title }) => title.toLowerCase() === text.toLowerCase()) ??
    (/^\d+$/.test(text) ? options[Number(text) - 1] : undefined)
  )?.value ?? text

const valueOf = (field: Field, text: string): Value => {
  switch (field.kind) {
    case "text":
      return text
    case "number":
      return text.trim() === "" ? text : Number(text)
    case "boolean": {
      const word = text.trim().toLowerCase()
      if (["y", "yes", "true", "1"].includes(word)) return true
      return ["n", "no", "false", "0"].includes(word) ? false : text
    }
    case "choice":
      return chosen(field.options, text.trim())
    // choices
    default:
      return text
        .split(",")
        .map((one) => one.trim())
        .filter((one) => one !== "")
        .map((one) => chosen(field.options, one))
  }
}

/** What a person typed for a field, or what it has to be. */
export const read = (field: Field, text: string): Result.Result<Value, string> => {
  const value = valueOf(field, text)
  return fits(field, value) ? Result.succeed(value) : Result.fail(`it has to be ${wants(field)}`)
}
