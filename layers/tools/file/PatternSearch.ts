/** Lines that match a pattern. The engine is RE2's: its time grows with the text alone, whatever the pattern. */
import { isAscii } from "node:buffer"
import { RE2JS } from "re2js"
import * as limits from "../../../services/tools/fileLimits.ts"
import type { PatternMatch, PatternMatches } from "../../../services/tools/FileProfile.ts"
import { ThreadFailure } from "../ThreadBody.ts"
import { decode } from "./decode.ts"
import * as LineSplitter from "./LineSplitter.ts"

const compile = (pattern: string): RE2JS => {
  try {
    return RE2JS.compile(pattern)
  } catch (error) {
    throw new ThreadFailure(
      "invalid_pattern",
      `the pattern cannot be used (${error instanceof Error ? error.message : String(error)}); patterns have RE2's syntax, without backreferences`
    )
  }
}

/** The part of a line around its first match. */
const excerpt = (expression: RE2JS, line: string): string => {
  if (line.length <= limits.matchCharacters) return line
  const matcher = expression.matcher(line)
  const at = matcher.find() ? matcher.start() : 0
  const from = Math.max(0, Math.min(at - limits.matchCharacters / 4, line.length - limits.matchCharacters))
  const to = from + limits.matchCharacters
  return `${from > 0 ? "…" : ""}${line.slice(from, to)}${to < line.length ? "…" : ""}`
}

export const make = (pattern: string) => {
  const expression = compile(pattern)
  const first: Array<PatternMatch> = []
  let line = 0
  let total = 0
  let cutLines = 0
  /** The line's bytes are characters as they are, which saves asking each line. */
  let isPlain = true
  let wasPlain = true
  const splitter = LineSplitter.make((bytes, isCut) => {
    line++
    if (isCut) cutLines++
    const text = isPlain ? bytes.toString("latin1") : decode(bytes)
    if (!expression.test(text)) return
    total++
    if (first.length < limits.matches) first.push({ line, text: excerpt(expression, text) })
  })
  return {
    push: (bytes: Buffer): void => {
      const isNowPlain = isAscii(bytes)
      // A line may have begun in the piece before.
      isPlain = isNowPlain && wasPlain
      wasPlain = isNowPlain
      splitter.push(bytes)
    },
    end: (): PatternMatches => {
      splitter.end()
      return { pattern, total, first, cutLines }
    }
  }
}
