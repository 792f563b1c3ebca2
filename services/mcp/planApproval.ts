/**
 * Which of a server's tools may be used: a pure decision from what was approved and what the server says now.
 *
 * Declaring a server is approving the tools that it shows when it is first seen. From then on a definition is pinned:
 * a tool whose name, description or schema is not exactly what was approved is blocked until a person approves it.
 */
import { Schema } from "effect"
import { ToolDefinition } from "./ToolDefinition.ts"

/** A definition as it was approved, with the hash of all of it. */
export const ApprovedTool = Schema.Struct({ ...ToolDefinition.fields, hash: Schema.String })
export type ApprovedTool = typeof ApprovedTool.Type

/** By the tool's name on its server; absent for a server that was never seen. */
export type Approved = ReadonlyMap<string, ApprovedTool>

export interface BlockedTool {
  readonly tool: ApprovedTool
  readonly reason: "changed" | "new"
}

export interface Plan {
  /** Of those that the server has now, what may be used. */
  readonly usable: ReadonlyArray<ApprovedTool>
  readonly blocked: ReadonlyArray<BlockedTool>
  /** Approved, but the server does not have them any more. They stay approved. */
  readonly gone: ReadonlyArray<ApprovedTool>
  /** What is to be written down, when it is the first sight. */
  readonly firstSight: Approved | undefined
}

export const planApproval = (approved: Approved | undefined, now: ReadonlyArray<ApprovedTool>): Plan => {
  if (approved === undefined) {
    return { usable: now, blocked: [], gone: [], firstSight: new Map(now.map((tool) => [tool.name, tool])) }
  }
  const usable: Array<ApprovedTool> = []
  const blocked: Array<BlockedTool> = []
  for (const tool of now) {
    const pinned = approved.get(tool.name)
    if (pinned === undefined) blocked.push({ tool, reason: "new" })
    else if (pinned.hash !== tool.hash) blocked.push({ tool, reason: "changed" })
    else usable.push(tool)
  }
  const names = new Set(now.map(({ name }) => name))
  return { usable, blocked, gone: [...approved.values()].filter(({ name }) => !names.has(name)), firstSight: undefined }
}

/** JSON with the keys of every object in order, so that equal values have equal text. */
export const canonical = (value: Schema.Json): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member ?? null)}`).join(",")}}`
}

/** The text that is hashed: all of a definition that a model gets to see. */
export const pinnedText = ({ description, inputSchema, name }: ToolDefinition): string =>
  canonical([name, description, inputSchema])
