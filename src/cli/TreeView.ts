/** The supervision tree as text. */
import type { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import * as Terminal from "./Terminal.ts"

interface Line {
  readonly branch: string
  readonly node: TreeNode | undefined
  /** Children that are not shown, for a line without a node. */
  readonly hidden: number
}

const lines = (node: TreeNode, branch: string, indent: string): ReadonlyArray<Line> => {
  const hidden = node.total - node.children.length
  return [
    { branch, node, hidden: 0 },
    ...node.children.flatMap((child, at) => {
      const isLast = at === node.children.length - 1 && hidden <= 0
      return lines(child, `${indent}${isLast ? "└─ " : "├─ "}`, `${indent}${isLast ? "   " : "│  "}`)
    }),
    ...(hidden > 0 ? [{ branch: `${indent}└─ `, node: undefined, hidden }] : [])
  ]
}

const stateOf = (node: TreeNode): string => {
  const text = node.state.padEnd(10)
  return node.state === "running"
    ? Terminal.green(text)
    : node.state === "stopped"
      ? Terminal.red(text)
      : Terminal.yellow(text)
}

/** The whole tree, a node a line. */
export const render = (root: TreeNode): string => {
  const all = lines(root, "", "")
  const width = Math.max(...all.map(({ branch, node }) => branch.length + Terminal.columns(node?.id ?? "")))
  return all
    .map(({ branch, hidden, node }) => {
      if (node === undefined) return `${branch}${Terminal.dim(`and ${hidden} more`)}`
      const id = Terminal.plain(node.id)
      const room = " ".repeat(width - branch.length - Terminal.columns(id))
      const notes = [
        (node.strategy ?? node.restart).padEnd(12),
        stateOf(node),
        Terminal.duration(node.age).padStart(11),
        node.restarts > 0 ? Terminal.yellow(node.restarts === 1 ? "1 restart" : `${node.restarts} restarts`) : "",
        node.mailbox === undefined ? "" : `${node.mailbox} waiting`
      ]
      const shown = node.type === "supervisor" ? Terminal.bold(id) : id
      return `${Terminal.dim(branch)}${shown}${room}  ${notes.filter((note) => note !== "").join("  ")}`.trimEnd()
    })
    .join("\n")
}

/** The same tree some milliseconds later, when nothing has changed since. */
export const aged = (node: TreeNode, milliseconds: number): TreeNode => ({
  ...node,
  age: node.age === 0 ? 0 : node.age + milliseconds,
  children: node.children.map((child) => aged(child, milliseconds))
})
