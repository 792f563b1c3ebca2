/** The files of a tree, directory by directory in the order of their names, and what is passed over on the way. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { enter, excludes, type IgnoreRules } from "./IgnoreRules.ts"

export type Passed = "ignored" | "symlinks" | "unreadable"

export interface Visitor {
  /** `path` is relative to the root, with slashes. */
  readonly onFile: (path: string, name: string) => void | Promise<void>
  readonly onPassed: (reason: Passed, path: string) => void
}

/** Where version control systems keep their own. */
const housekeeping = new Set([".git", ".hg", ".svn", ".bzr", "CVS", ".jj"])

/** Deeper trees are taken for a trap. */
const maxDepth = 256

export const walk = async (root: string, { onFile, onPassed }: Visitor): Promise<void> => {
  const visit = async (relative: string, outer: IgnoreRules, depth: number): Promise<void> => {
    let entries
    try {
      entries = readdirSync(join(root, relative), { withFileTypes: true })
    } catch {
      onPassed("unreadable", relative)
      return
    }
    const rules = enter(outer, root, relative)
    entries.sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const entry of entries) {
      const path = relative + entry.name
      if (entry.isSymbolicLink()) onPassed("symlinks", path)
      else if (entry.isDirectory()) {
        if (housekeeping.has(entry.name)) continue
        if (excludes(rules, `${path}/`)) onPassed("ignored", `${path}/`)
        else if (depth >= maxDepth) onPassed("unreadable", `${path}/`)
        else await visit(`${path}/`, rules, depth + 1)
      } else if (entry.isFile()) {
        if (excludes(rules, path)) onPassed("ignored", path)
        // A worktree or submodule has a file of that name.
        else if (!housekeeping.has(entry.name)) {
          const going = onFile(path, entry.name)
          if (going !== undefined) await going
        }
      }
    }
  }
  await visit("", undefined, 0)
}
