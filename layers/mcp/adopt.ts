/**
 * Takes over what a server says of its tools: hashes each definition, blocks what is not as it was approved, compiles the
 * schemas of what may be used, and makes the tools that the runtime offers.
 */
import { Effect } from "effect"
import { createHash } from "node:crypto"
import type { McpApprovals } from "../../services/mcp/McpApprovals.ts"
import { McpToolChanged } from "../../services/mcp/McpServer.ts"
import { type ApprovedTool, pinnedText, planApproval } from "../../services/mcp/planApproval.ts"
import type { Looked, RefusedTool, ToolDefinition } from "../../services/mcp/ToolDefinition.ts"
import { nameOf } from "../../services/mcp/toolNames.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import { Compiler } from "../../services/tools/argumentChecks.ts"
import * as CalledTool from "./CalledTool.ts"
import type { Instance } from "./Instance.ts"
import type { ServerState } from "./ServerState.ts"

const hashed = (definition: ToolDefinition): ApprovedTool => ({
  ...definition,
  hash: createHash("sha256").update(pinnedText(definition)).digest("hex")
})

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause)).slice(0, 300)

/** Those whose schema compiles; the others are refused. */
const compileAll = Effect.fnUntraced(function* (state: ServerState, tools: ReadonlyArray<ApprovedTool>) {
  const compiler = new Compiler()
  const checks: typeof state.checks = new Map()
  const names = new Set<string>()
  const kept: Array<ApprovedTool> = []
  const refused: Array<RefusedTool> = []
  for (const tool of tools) {
    const { hash, inputSchema, name } = tool
    const known = state.checks.get(hash)
    if (names.has(nameOf(state.name, name))) {
      refused.push({ name, reason: "another tool would have the same name for models" })
      continue
    }
    try {
      checks.set(hash, known ?? compiler.compile(inputSchema))
      names.add(nameOf(state.name, name))
      kept.push(tool)
    } catch (cause) {
      refused.push({ name, reason: `its inputSchema cannot be used: ${reasonOf(cause)}` })
    }
    // Each is a few milliseconds at most; all of them together would hold up everybody else.
    if (known === undefined) yield* Effect.yieldNow
  }
  // One instance may still show what another shows no longer.
  for (const { hash } of state.approved?.values() ?? []) {
    const known = state.checks.get(hash)
    if (known !== undefined) checks.set(hash, known)
  }
  state.checks = checks
  return { kept, refused }
})

/** One after the other: what a person approves is what was last heard, and what is heard meanwhile comes after it. */
const alone = <A, E, R>(change: Effect.Effect<A, E, R>, state: ServerState): Effect.Effect<A, E, R> =>
  state.changing.withPermits(1)(change)

/**
 * Makes the tools anew from the plan that holds now. What one session's own shows takes nothing from other sessions, so
 * of a server of sessions all is offered that is approved: whether a session's own shows just that is seen at each call.
 */
const offer = (state: ServerState): void => {
  const { blocked, gone, usable } = state.plan
  const named = (tool: ApprovedTool): readonly [string, Tool] => {
    const made = CalledTool.make(state, tool)
    return [made.name, made]
  }
  const approved = Array.from(state.approved?.values() ?? []).filter(({ hash }) => state.checks.has(hash))
  const offered = (state.isOfSessions ? approved : usable).map(named)
  state.tools = new Map([...gone.map(named), ...blocked.map(({ tool }) => named(tool)), ...offered])
  state.offered = offered.map(([, tool]) => tool)
}

/** What was approved in an earlier life of the runtime, until the server itself is heard. */
export const recall = Effect.fnUntraced(function* (state: ServerState) {
  yield* compileAll(state, state.plan.usable)
  offer(state)
})

const settle = Effect.fnUntraced(function* (
  state: ServerState,
  approvals: McpApprovals["Service"],
  looked: Looked,
  tools: ReadonlyArray<ApprovedTool>
) {
  const plan = planApproval(state.approved, tools)
  // A server that shows nothing at first has not been seen yet.
  if (plan.firstSight !== undefined && tools.length > 0) {
    yield* approvals.save(state.name, plan.firstSight)
    state.approved = plan.firstSight
  }
  state.looked = looked
  state.follow(plan)
  offer(state)
  state.settled.openUnsafe()
})

/**
 * What an instance shows of its tools is what the server says now. Answers with the names that are blocked now and were
 * not before.
 */
export const adopt = Effect.fnUntraced(function* (
  state: ServerState,
  instance: Instance,
  approvals: McpApprovals["Service"],
  looked: Looked
) {
  const tools = looked.tools.map(hashed)
  const said = `${looked.refusedCount} ${tools.map(({ hash }) => hash).join()}`
  if (said === state.said) {
    instance.shown = state.shown
    return []
  }
  const before = new Set(state.plan.blocked.map(({ tool }) => tool.hash))
  const { kept, refused } = yield* compileAll(state, tools)
  yield* settle(
    state,
    approvals,
    {
      ...looked,
      refused: [...looked.refused, ...refused].slice(0, 100),
      refusedCount: looked.refusedCount + refused.length
    },
    kept
  )
  state.said = said
  state.shown = new Map(kept.map((tool) => [tool.name, tool]))
  instance.shown = state.shown
  return state.plan.blocked.filter(({ tool }) => !before.has(tool.hash)).map(({ tool }) => tool.name)
}, alone)

export interface Approval {
  /** By its own name; absent for all that are blocked. */
  readonly tool?: string | undefined
  /** The beginning of the hash that a person has looked at. */
  readonly hash?: string | undefined
}

/** Approves what is blocked, one of it or all, and answers with the names. */
export const approve = Effect.fnUntraced(function* (
  state: ServerState,
  approvals: McpApprovals["Service"],
  { hash, tool: only }: Approval
) {
  const { blocked, usable } = state.plan
  const wanted = blocked.filter(({ tool }) => only === undefined || tool.name === only)
  const other = wanted.find(({ tool }) => hash !== undefined && !tool.hash.startsWith(hash))
  if (other !== undefined) {
    return yield* new McpToolChanged({ server: state.name, tool: other.tool.name, hash: other.tool.hash })
  }
  if (wanted.length === 0) return []
  const approved = new Map(state.approved)
  for (const { tool } of wanted) approved.set(tool.name, tool)
  yield* approvals.save(state.name, approved)
  state.approved = approved
  yield* settle(state, approvals, state.looked, [...usable, ...blocked.map(({ tool }) => tool)])
  return wanted.map(({ tool }) => tool.name)
}, alone)
