/**
 * The tools that are worth offering to a model: those that its session's rules do not deny whatever the arguments. So a
 * session sees no more of what there is than it may use: `{ tool: "files__*", decision: "deny" }` hides a whole MCP server.
 */
import type { Tool } from "../tools/Tool.ts"
import { decidePermission, type PermissionRule } from "./Rules.ts"

const isDenied = ({ annotations, classesOf, name }: Tool, rules: ReadonlyArray<PermissionRule>): boolean => {
  const { classes, needsPermission } = annotations
  const denies = (touched: typeof classes) =>
    decidePermission({ tool: name, classes: touched, needsPermission }, rules, "attended") === "deny"
  // One that may touch less than it can is denied only where each class of it is.
  return classesOf === undefined || classes.length === 0 ? denies(classes) : classes.every((one) => denies([one]))
}

export const offerable = (tools: ReadonlyArray<Tool>, rules: ReadonlyArray<PermissionRule>): ReadonlyArray<Tool> =>
  rules.length === 0 ? tools : tools.filter((tool) => !isDenied(tool, rules))
