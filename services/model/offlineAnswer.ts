/**
 * What is answered while no model is configured: tools written as `/tool name {json}` are called, and all else is
 * told plainly how things stand.
 */
import { Result, Schema } from "effect"
import { inShort } from "../tools/Tools.ts"

export interface OfferedTool {
  readonly name: string
  readonly description: string
}

export interface SettledCall {
  readonly tool: string
  readonly isFailure: boolean
  readonly result: unknown
}

export type OfflineAnswer =
  | { readonly _tag: "Say"; readonly text: string }
  | { readonly _tag: "CallTool"; readonly tool: string; readonly args: unknown }

const COMMAND = /^\s*\/tool(?:\s+(?<name>\S+)(?:\s+(?<args>[\s\S]*))?)?$/
/** Characters of a result that are shown. */
const SHOWN = 20_000

const say = (text: string): OfflineAnswer => ({ _tag: "Say", text })

const listed = (tools: ReadonlyArray<OfferedTool>): string =>
  tools.length === 0
    ? "There are no tools here."
    : `Tools:\n${tools.map(({ description, name }) => `- ${name}: ${inShort(description)}`).join("\n")}`

const parse = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))

export const answerMessage = (text: string, tools: ReadonlyArray<OfferedTool>): OfflineAnswer => {
  const command = COMMAND.exec(text)
  if (command === null) {
    return say(
      `No model is configured, so nobody can answer this: set ESPALIER_MODEL to provider/model (docs/models.md tells how) and start again. What works without one is "/tool NAME {json}", which runs a tool and shows its result.\n\n${listed(tools)}`
    )
  }
  const tool = command.groups?.["name"]
  if (tool === undefined) {
    return say(`Write the name of a tool, and its arguments as JSON: /tool NAME {json}\n\n${listed(tools)}`)
  }
  const args = command.groups?.["args"]?.trim() ?? ""
  if (args === "") return { _tag: "CallTool", tool, args: {} }
  const parsed = parse(args)
  return Result.isSuccess(parsed)
    ? { _tag: "CallTool", tool, args: parsed.success }
    : say(
        `The arguments of ${tool} are not JSON (${parsed.failure.message}). Write them like this: /tool ${tool} {"key": "value"}`
      )
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isPlain = (value: unknown): value is string | number | boolean =>
  typeof value === "string" || typeof value === "number" || typeof value === "boolean"

const cut = (text: string): string =>
  text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}\n… (${text.length - SHOWN} more characters)`

/** A result as a person reads it: texts as they are, plain values by name, and the rest as indented JSON. */
const render = (value: unknown): string => {
  if (isPlain(value)) return String(value)
  if (!isRecord(value)) return JSON.stringify(value, undefined, 2) ?? "nothing"
  const entries = Object.entries(value)
  const short = entries.filter(([, field]) => isPlain(field) && !String(field).includes("\n"))
  const texts = entries.filter(([, field]) => typeof field === "string" && field.includes("\n"))
  const rest = entries.filter(([, field]) => !isPlain(field))
  return [
    short.map(([key, field]) => `${key}: ${String(field)}`).join("\n"),
    ...texts.map(([key, field]) => `${key}:\n${String(field)}`),
    ...rest.map(([key, field]) => `${key}: ${JSON.stringify(field, undefined, 2) ?? "nothing"}`)
  ]
    .filter((part) => part !== "")
    .join("\n")
}

const failureOf = (result: unknown): string =>
  isRecord(result) && typeof result["message"] === "string"
    ? `${result["message"]}${typeof result["error"] === "string" ? ` (${result["error"]})` : ""}`
    : render(result)

export const answerResults = (calls: ReadonlyArray<SettledCall>): OfflineAnswer =>
  say(
    calls
      .map(({ isFailure, result, tool }) =>
        isFailure ? `${tool} failed: ${failureOf(result)}` : `${tool} gave:\n\n${cut(render(result))}`
      )
      .join("\n\n")
  )
