/**
 * May a tool be run? Decided per class that the call touches, and the strictest answer counts: deny before ask before
 * allow. So a rule that denies or asks never opens anything, whatever other rules say and wherever it stands.
 *
 * A class for which no rule speaks has its default: reading is allowed, all else is asked for. Where nobody can be
 * asked (`unattended`) to ask is to deny.
 */
import { Schema } from "effect"
import { ToolClass } from "../tools/ToolClass.ts"

export const PermissionDecision = Schema.Literals(["allow", "ask", "deny"])
export type PermissionDecision = typeof PermissionDecision.Type

export const PermissionRule = Schema.Struct({
  /** Names of tools, `*` for any part of one: `files_*`. Absent: every tool. */
  tool: Schema.optionalKey(Schema.NonEmptyString.check(Schema.isMaxLength(200))),
  /** Absent: every class. */
  class: Schema.optionalKey(ToolClass),
  decision: PermissionDecision
})
export type PermissionRule = typeof PermissionRule.Type

/** Whether somebody is there to be asked. */
export const PermissionMode = Schema.Literals(["attended", "unattended"])
export type PermissionMode = typeof PermissionMode.Type

/** What is to be decided on. */
export interface PermissionQuestion {
  readonly tool: string
  readonly classes: ReadonlyArray<ToolClass>
  /** The tool wants to be asked for whatever its classes. */
  readonly needsPermission: boolean
}

const strictness = { allow: 0, ask: 1, deny: 2 } as const

export const strictest = (one: PermissionDecision, other: PermissionDecision): PermissionDecision =>
  strictness[one] >= strictness[other] ? one : other

/** Whether a name fits a pattern in which `*` stands for any characters. Never slower than the two lengths multiplied. */
export const fitsPattern = (pattern: string, name: string): boolean => {
  let at = 0
  let from = 0
  /** Where the last star stands, and where in the name what it stands for ends. */
  let star = -1
  let taken = 0
  while (at < name.length) {
    if (pattern[from] === "*") {
      star = from++
      taken = at
    } else if (from < pattern.length && pattern[from] === name[at]) {
      from++
      at++
    } else if (star >= 0) {
      from = star + 1
      at = ++taken
    } else return false
  }
  while (pattern[from] === "*") from++
  return from === pattern.length
}

const byDefault = (name: ToolClass, needsPermission: boolean): PermissionDecision =>
  name === "read" && !needsPermission ? "allow" : "ask"

/** What the rules say of one class; without a class, only those that go for every class. */
const decideClass = (
  { needsPermission, tool }: PermissionQuestion,
  name: ToolClass | undefined,
  rules: ReadonlyArray<PermissionRule>
): PermissionDecision => {
  let decision: PermissionDecision | undefined
  for (const rule of rules) {
    if (rule.class !== undefined && rule.class !== name) continue
    if (rule.tool !== undefined && !fitsPattern(rule.tool, tool)) continue
    decision = decision === undefined ? rule.decision : strictest(decision, rule.decision)
  }
  return decision ?? (name === undefined ? (needsPermission ? "ask" : "allow") : byDefault(name, needsPermission))
}

export const decidePermission = (
  question: PermissionQuestion,
  rules: ReadonlyArray<PermissionRule>,
  mode: PermissionMode
): PermissionDecision => {
  const { classes } = question
  const decision =
    classes.length === 0
      ? decideClass(question, undefined, rules)
      : classes.map((name) => decideClass(question, name, rules)).reduce(strictest)
  return decision === "ask" && mode === "unattended" ? "deny" : decision
}
