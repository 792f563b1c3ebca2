/**
 * Checks of arguments against a JSON Schema. The schema may be text from a stranger: it is compiled once, patterns run in an
 * engine whose time grows with the text alone, formats are not looked at, and one that does not compile is told with
 * the reason.
 */
import { Ajv, type ErrorObject, type Options } from "ajv"
import { Ajv2020 } from "ajv/dist/2020.js"
import type { Schema } from "effect"
import { RE2JS } from "re2js"
import type { InputIssue } from "../InvalidInput.ts"

/** What is wrong with arguments; empty when they fit. */
export type Check = (args: Schema.Json) => ReadonlyArray<InputIssue>

/** Issues that are told of one call. */
const maxIssues = 20
/** Characters of the values that are told to be allowed. */
const maxAllowed = 500
/** Characters of a pattern. */
const maxPattern = 1_000

const linear = (pattern: string) => {
  if (pattern.length > maxPattern) throw new Error(`a pattern is longer than ${maxPattern} characters`)
  const expression = RE2JS.compile(pattern)
  return {
    test: (text: string) => expression.matcher(text).find(),
    // By which patterns are told apart.
    toString: () => `/${pattern}/`
  }
}

const options: Options = {
  strict: false,
  allErrors: false,
  validateFormats: false,
  addUsedSchema: false,
  logger: false,
  // Only for code that is written to a file, which ours is not.
  code: { regExp: Object.assign(linear, { code: "" }) }
}

const sentenceOf = ({ message, params }: ErrorObject): string => {
  if ("additionalProperty" in params) return `there is no argument "${String(params["additionalProperty"])}"`
  if ("allowedValues" in params) return `must be one of ${JSON.stringify(params["allowedValues"]).slice(0, maxAllowed)}`
  return message ?? "it does not fit"
}

const issueOf = (error: ErrorObject): InputIssue => ({
  path: error.instancePath.slice(1).replaceAll("/", "."),
  message: sentenceOf(error)
})

/**
 * Compiles the schemas of one source of tools, which share nothing with those of another. `compile` throws what keeps a schema
 * from being used.
 */
export class Compiler {
  #newer: Ajv2020 | undefined
  #older: Ajv | undefined

  compile({ $schema: dialect, ...schema }: Schema.JsonObject): Check {
    const isOld = typeof dialect === "string" && /draft-0[4-7]/.test(dialect)
    const ajv = isOld ? (this.#older ??= new Ajv(options)) : (this.#newer ??= new Ajv2020(options))
    const validate = ajv.compile(schema)
    // The function is all that is needed from here on.
    ajv.removeSchema(schema)
    return (args) => (validate(args) ? [] : (validate.errors ?? []).slice(0, maxIssues).map(issueOf))
  }
}
