/** A supervisor as the tree shows it. */
import { Effect } from "effect"
import { recentRestarts } from "../../services/supervision/planRestart.ts"
import type { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import type { SupervisedChild } from "./SupervisedChild.ts"
import type { SupervisorCore } from "./SupervisorCore.ts"

/** Children shown per node, the longest there first; `total` tells how many there are. */
export const shown = 100

const describeChild = (core: SupervisorCore, child: SupervisedChild): Effect.Effect<TreeNode> =>
  Effect.gen(function* () {
    const { spec, state } = child
    const now = core.now()
    const own = {
      id: spec.id,
      type: spec.type ?? "worker",
      state,
      restart: spec.restart ?? "permanent",
      restarts: recentRestarts(child.restarts, now, core.period).length,
      age: child.fiber === undefined ? 0 : Math.max(0, Math.round(now - child.since))
    }
    if (child.supervisor !== undefined) {
      const { children, strategy, total } = yield* child.supervisor.tree
      return { ...own, ...(strategy === undefined ? {} : { strategy }), children, total }
    }
    const mailbox = spec.mailbox === undefined || child.fiber === undefined ? {} : { mailbox: yield* spec.mailbox }
    return { ...own, ...mailbox, children: [], total: 0 }
  })

export const describe = (
  description: { readonly id: string; readonly strategy: string },
  running: { readonly core: SupervisorCore; readonly since: number } | undefined
): Effect.Effect<TreeNode> =>
  Effect.gen(function* () {
    const children: Array<TreeNode> = []
    const isUp = running !== undefined && !running.core.isStopping
    if (running !== undefined) {
      for (const child of running.core.children.values()) {
        if (children.length === shown) break
        children.push(yield* describeChild(running.core, child))
      }
    }
    return {
      id: description.id,
      type: "supervisor",
      state: isUp ? "running" : "stopped",
      restart: "permanent",
      strategy: description.strategy,
      restarts: 0,
      age: isUp ? Math.max(0, Math.round(running.core.now() - running.since)) : 0,
      children,
      total: running?.core.children.size ?? 0
    }
  })
