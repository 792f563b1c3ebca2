/** The tree as it can be looked at while it runs. */
import { Schema } from "effect"

export const ChildState = Schema.Literals(["starting", "running", "restarting", "stopping", "stopped"])
export type ChildState = typeof ChildState.Type

/** OTP's `which_children`. */
export interface ChildInfo {
  readonly id: string
  readonly state: ChildState
  readonly type: "worker" | "supervisor"
}

/** OTP's `count_children`. */
export interface ChildrenCount {
  /** Child specs, running or not. */
  readonly specs: number
  readonly active: number
  readonly supervisors: number
  readonly workers: number
}

export interface TreeNode {
  readonly id: string
  readonly type: "worker" | "supervisor"
  readonly state: ChildState
  readonly restart: "permanent" | "transient" | "temporary"
  /** Only for supervisors. */
  readonly strategy?: string
  /** Restarts of this child within its supervisor's period. */
  readonly restarts: number
  /** Milliseconds since it was last started; 0 when it is not running. */
  readonly age: number
  /** Work waiting for it, where it has a mailbox. */
  readonly mailbox?: number
  readonly children: ReadonlyArray<TreeNode>
  /** Children there are, when `children` shows only the first of them. */
  readonly total: number
}

export const TreeNode: Schema.Codec<TreeNode> = Schema.Struct({
  id: Schema.String,
  type: Schema.Literals(["worker", "supervisor"]),
  state: ChildState,
  restart: Schema.Literals(["permanent", "transient", "temporary"]),
  strategy: Schema.optionalKey(Schema.String),
  restarts: Schema.Int,
  age: Schema.Finite,
  mailbox: Schema.optionalKey(Schema.Int),
  children: Schema.Array(Schema.suspend((): Schema.Codec<TreeNode> => TreeNode)),
  total: Schema.Int
})
