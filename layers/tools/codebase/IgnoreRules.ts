/**
 * What a tree's own ignore files exclude: `.gitignore` at every level and `.git/info/exclude` at the top. Ignore files
 * above the root do not count, so a tree that a larger repository ignores can still be looked at.
 */
import ignore, { type Ignore } from "ignore"
import { join } from "node:path"
import { readSmallText } from "./readFile.ts"

interface Level {
  readonly text: string
  /** Length of the path of the directory it governs, its slash included. */
  readonly from: number
  readonly parent: Level | undefined
  matcher: Ignore
  asked: number
}

export type IgnoreRules = Level | undefined

/** Ignore files above this size are taken as mistakes. */
const maxBytes = 512 * 1024
/** The matcher remembers each answer for ever, so it is made anew from time to time. */
const answersKept = 5_000

const matcherOf = (text: string) => ignore({ ignorecase: false, allowRelativePaths: false }).add(text)

/** The rules that hold within a directory; `relative` is its path from the root, empty or with a slash at the end. */
export const enter = (rules: IgnoreRules, root: string, relative: string): IgnoreRules => {
  const texts = [readSmallText(join(root, relative, ".gitignore"), maxBytes)]
  if (relative === "") texts.unshift(readSmallText(join(root, ".git/info/exclude"), maxBytes))
  const text = texts.filter((part) => part !== undefined).join("\n")
  return text.trim() === "" ? rules : { text, from: relative.length, parent: rules, matcher: matcherOf(text), asked: 0 }
}

/** `relative` is a path from the root, with a slash at the end when it is a directory. The innermost rule decides. */
export const excludes = (rules: IgnoreRules, relative: string): boolean => {
  for (let level = rules; level !== undefined; level = level.parent) {
    if (++level.asked > answersKept) {
      level.matcher = matcherOf(level.text)
      level.asked = 0
    }
    const { ignored, unignored } = level.matcher.test(relative.slice(level.from))
    if (ignored) return true
    if (unignored) return false
  }
  return false
}
