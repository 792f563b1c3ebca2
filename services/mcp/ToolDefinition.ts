/**
 * What a server says of its tools, taken for what it is: text from a stranger. Definitions are looked at one by one;
 * those that do not fit are refused with a reason, and no limit can be passed by sending more of them.
 */
import { Schema } from "effect"
import { jsonSize } from "../worker/jsonSize.ts"

export const limits = {
  tools: 1_000,
  /** Pages of a listing. */
  pages: 100,
  nameCharacters: 256,
  /** Characters of a description that a model sees. */
  description: 8 * 1024,
  /** Bytes of one argument schema. */
  schema: 64 * 1024,
  schemaDepth: 32,
  /** Bytes of all definitions of a server. */
  total: 8 * 1024 * 1024,
  refusals: 100
} as const

export const ToolDefinition = Schema.Struct({
  name: Schema.String,
  description: Schema.String,
  inputSchema: Schema.JsonObject
})
export type ToolDefinition = typeof ToolDefinition.Type

export interface RefusedTool {
  readonly name: string
  readonly reason: string
}

export interface Looked {
  readonly tools: ReadonlyArray<ToolDefinition>
  /** The first of them. */
  readonly refused: ReadonlyArray<RefusedTool>
  readonly refusedCount: number
}

/**
 * Whether it is nested no deeper. JSON as it came over the wire: what `JSON.parse` made, so no cycles and nothing but
 * JSON. What is nested very deep can be parsed and not be written again.
 */
export const isNestedWithin = (value: unknown, left: number): boolean =>
  typeof value !== "object" || value === null
    ? true
    : left > 0 && Object.values(value).every((member) => isNestedWithin(member, left - 1))

const isObject = (value: unknown): value is Schema.JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const cut = (text: string): string =>
  text.length <= limits.description
    ? text
    : `${text.slice(0, limits.description)}… (cut: it has ${text.length} characters)`

/** The definition, or why it cannot be used. */
export const look = (raw: unknown): ToolDefinition | RefusedTool => {
  if (!isObject(raw)) return { name: "", reason: "it is no object" }
  const { description, execution, inputSchema, name } = raw
  if (typeof name !== "string" || name === "") return { name: "", reason: "it has no name" }
  if (name.length > limits.nameCharacters) {
    return { name: name.slice(0, 64), reason: `its name is longer than ${limits.nameCharacters} characters` }
  }
  if (description !== undefined && typeof description !== "string")
    return { name, reason: "its description is no text" }
  if (isObject(execution) && execution["taskSupport"] === "required") {
    return { name, reason: "it can only be run as a task of MCP, which is not supported" }
  }
  if (!isObject(inputSchema)) return { name, reason: "its inputSchema is no object" }
  if (inputSchema["type"] !== "object") return { name, reason: 'its inputSchema is not of type "object"' }
  if (!isNestedWithin(inputSchema, limits.schemaDepth)) {
    return { name, reason: `its inputSchema is nested deeper than ${limits.schemaDepth}` }
  }
  if (jsonSize(inputSchema, limits.schema) > limits.schema) {
    return { name, reason: `its inputSchema is larger than ${limits.schema / 1024} KiB` }
  }
  return { name, description: cut(description ?? ""), inputSchema }
}

/** Takes definitions as pages of them come in. */
export class Looker {
  readonly #tools = new Map<string, ToolDefinition>()
  readonly #refused: Array<RefusedTool> = []
  #refusedCount = 0
  #size = 0

  get isFull(): boolean {
    return this.#tools.size >= limits.tools || this.#size >= limits.total
  }

  add(raw: unknown): void {
    if (this.isFull) return this.#refuse({ name: "", reason: `a server may have ${limits.tools} tools` })
    const looked = look(raw)
    if ("reason" in looked) return this.#refuse(looked)
    if (this.#tools.has(looked.name)) return this.#refuse({ name: looked.name, reason: "another tool has its name" })
    this.#size += looked.name.length + looked.description.length + jsonSize(looked.inputSchema, limits.schema)
    this.#tools.set(looked.name, looked)
  }

  refuse(name: string, reason: string): void {
    this.#tools.delete(name)
    this.#refuse({ name, reason })
  }

  get found(): Looked {
    return { tools: [...this.#tools.values()], refused: this.#refused, refusedCount: this.#refusedCount }
  }

  #refuse(refused: RefusedTool): void {
    this.#refusedCount++
    if (this.#refused.length < limits.refusals) this.#refused.push(refused)
  }
}
