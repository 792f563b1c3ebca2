/** The tree as a stream of snapshots: the first at once, then one whenever something has changed. */
import { type Duration, type Effect, Schedule, Stream } from "effect"
import type { TreeNode } from "./SupervisionTree.ts"

/** Whether two snapshots show the same but for ages; a younger child is another one. */
export const isSameTree = (before: TreeNode, after: TreeNode): boolean =>
  before.id === after.id &&
  before.state === after.state &&
  before.restarts === after.restarts &&
  before.mailbox === after.mailbox &&
  before.total === after.total &&
  before.age <= after.age &&
  before.strategy === after.strategy &&
  before.restart === after.restart &&
  before.children.length === after.children.length &&
  before.children.every((child, at) => {
    const other = after.children[at]
    return other !== undefined && isSameTree(child, other)
  })

/**
 * At most one snapshot an `interval` (default 200 ms), however much happens; a reader that is slower gets the newest
 * there is when it asks, and nothing waits for it.
 */
export const watchTree = <E>(
  tree: Effect.Effect<TreeNode, E>,
  interval: Duration.Input = "200 millis"
): Stream.Stream<TreeNode, E> =>
  Stream.changesWith(Stream.fromEffectSchedule(tree, Schedule.spaced(interval)), (newer, older) =>
    isSameTree(older, newer)
  )
