/**
 * Code, comment and blank lines of a text, as `cloc` counts them: a line of nothing but white space is blank wherever
 * it stands, a line with anything besides comments is code, the rest are comments. Unlike `cloc` it knows strings, so a
 * comment marker inside one means nothing.
 *
 * It reads bytes and looks closer only where a byte may begin something, for it sees every byte of a code base.
 */
import type { Syntax } from "./Syntax.ts"

export interface LineCount {
  readonly code: number
  readonly comments: number
  readonly blanks: number
}

export type LineCounter = (bytes: Uint8Array) => LineCount

/** What may begin at a byte, longest opening first. */
type Opening =
  | { readonly kind: "line"; readonly open: Uint8Array }
  | {
      readonly kind: "block"
      readonly open: Uint8Array
      readonly close: Uint8Array
      readonly nested: boolean
      readonly atLineStart: boolean
    }
  | {
      readonly kind: "string"
      readonly open: Uint8Array
      readonly close: Uint8Array
      readonly escape: boolean
      readonly multiline: boolean
    }

const newline = 10
const backslash = 92
const slash = 47
const quote = 39
const backtick = 96
const openBrace = 123
const closeBrace = 125

const plainByte = 0
const spaceByte = 1
const lineEnd = 2
const special = 3

const lower = (byte: number) => (byte >= 65 && byte <= 90 ? byte + 32 : byte)

const encoder = new TextEncoder()

const openingsOf = (syntax: Syntax): ReadonlyArray<Opening> => {
  const openings: Array<Opening> = []
  for (const block of syntax.blocks ?? []) {
    openings.push({
      kind: "block",
      open: encoder.encode(block.open),
      close: encoder.encode(block.close),
      nested: block.nested === true,
      atLineStart: block.atLineStart === true
    })
  }
  for (const text of syntax.strings ?? []) {
    openings.push({ ...text, kind: "string", open: encoder.encode(text.open), close: encoder.encode(text.close) })
  }
  for (const marker of syntax.line ?? []) openings.push({ kind: "line", open: encoder.encode(marker) })
  return openings.sort((a, b) => b.open.length - a.open.length)
}

/** Words after which a `/` begins a regular expression in JavaScript. */
const beforeRegExp = new Set([
  "return",
  "typeof",
  "case",
  "in",
  "of",
  "do",
  "else",
  "void",
  "delete",
  "throw",
  "new",
  "await",
  "yield"
])
const isWord = (byte: number) =>
  (byte >= 97 && byte <= 122) || (byte >= 65 && byte <= 90) || (byte >= 48 && byte <= 57) || byte === 95 || byte === 36

/** Whether a `/` at `at` can only begin a regular expression, going by what stands before it. */
const beginsRegExp = (bytes: Uint8Array, at: number): boolean => {
  let i = at - 1
  while (i >= 0 && (bytes[i] === 32 || bytes[i] === 9 || bytes[i] === newline || bytes[i] === 13)) i--
  if (i < 0) return true
  const before = bytes[i] ?? 0
  if (!isWord(before))
    return (
      before !== 41 &&
      before !== 93 &&
      before !== closeBrace &&
      before !== quote &&
      before !== 34 &&
      before !== backtick
    )
  let start = i
  while (start > 0 && i - start < 10 && isWord(bytes[start - 1] ?? 0)) start--
  return beforeRegExp.has(String.fromCharCode(...bytes.subarray(start, i + 1)))
}

/** Longer ones nobody writes, and looking further for the end of each would take for ever in a file of one line. */
const maxRegExp = 4_096

/** Index after a regular expression literal, or `at + 1` when the line ends before it closes. */
const afterRegExp = (bytes: Uint8Array, at: number): number => {
  let inClass = false
  for (let i = at + 1; i < Math.min(bytes.length, at + maxRegExp); i++) {
    const byte = bytes[i]
    if (byte === newline) return at + 1
    if (byte === backslash) i++
    else if (byte === 91) inClass = true
    else if (byte === 93) inClass = false
    else if (byte === slash && !inClass) return i + 1
  }
  return at + 1
}

/** Index after a character literal such as `'"'`, or `at + 1` when it is none. */
const afterCharacter = (bytes: Uint8Array, at: number): number => {
  if (bytes[at + 1] === backslash) {
    for (let i = at + 3; i < at + 14 && bytes[i] !== newline; i++) if (bytes[i] === quote) return i + 1
    return at + 1
  }
  for (let i = at + 2; i <= at + 5; i++) if (bytes[i] === quote) return i + 1
  return at + 1
}

export const make = (syntax: Syntax): LineCounter => {
  const openings = openingsOf(syntax)
  const table: Array<ReadonlyArray<Opening> | undefined> = Array.from({ length: 256 })
  const kinds = new Uint8Array(256)
  const isScript = syntax.script === true
  const hasCharacters = syntax.characters === true
  const lineStartOnly = syntax.lineStartOnly === true
  const ignoreCase = syntax.ignoreCase === true
  for (const opening of openings) {
    const first = opening.open[0] ?? 0
    for (const byte of ignoreCase ? [first, first >= 97 && first <= 122 ? first - 32 : first] : [first]) {
      table[byte] = [...(table[byte] ?? []), ...(table[byte]?.includes(opening) === true ? [] : [opening])]
      kinds[byte] = special
    }
  }
  if (isScript) for (const byte of [slash, backtick, openBrace, closeBrace]) kinds[byte] = special
  if (hasCharacters) kinds[quote] = special
  for (const byte of [32, 9, 13, 11, 12]) kinds[byte] = spaceByte
  kinds[newline] = lineEnd

  const matches = (bytes: Uint8Array, at: number, wanted: Uint8Array): boolean => {
    for (let i = 0; i < wanted.length; i++) {
      const byte = bytes[at + i] ?? -1
      if (byte !== wanted[i] && !(ignoreCase && lower(byte) === wanted[i])) return false
    }
    return true
  }

  return (bytes) => {
    const end = bytes.length
    let code = 0
    let comments = 0
    let blanks = 0
    let hasCode = false
    let hasComment = false
    let block: (Opening & { kind: "block" }) | undefined
    let depth = 0
    let text: (Opening & { kind: "string" }) | undefined
    let inTemplate = false
    /** Open braces of each `${` that the text stands in. */
    const braces: Array<number> = []
    let i = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
    let lineStart = i

    const endLine = () => {
      if (hasCode) code++
      else if (hasComment) comments++
      else blanks++
      hasCode = false
      hasComment = false
    }

    while (i < end) {
      const byte = bytes[i] ?? 0
      if (byte === newline) {
        endLine()
        if (text !== undefined && !text.multiline) text = undefined
        i++
        lineStart = i
        continue
      }
      if (block !== undefined) {
        if (kinds[byte] !== spaceByte) hasComment = true
        if (block.nested && byte === block.open[0] && matches(bytes, i, block.open)) {
          depth++
          i += block.open.length
        } else if (
          byte === block.close[0] &&
          (!block.atLineStart || i === lineStart) &&
          matches(bytes, i, block.close)
        ) {
          i += block.close.length
          depth--
          if (depth === 0) {
            // What follows the marker on a line of its own is still the comment: `=cut later`.
            if (block.atLineStart) while (i < end && bytes[i] !== newline) i++
            block = undefined
          }
        } else i++
        continue
      }
      if (text !== undefined) {
        if (kinds[byte] !== spaceByte) hasCode = true
        if (byte === backslash && text.escape) i += bytes[i + 1] === newline ? 1 : 2
        else if (byte === text.close[0] && matches(bytes, i, text.close)) {
          i += text.close.length
          text = undefined
        } else i++
        continue
      }
      if (inTemplate) {
        if (kinds[byte] !== spaceByte) hasCode = true
        if (byte === backslash) i += bytes[i + 1] === newline ? 1 : 2
        else if (byte === backtick) {
          inTemplate = false
          i++
        } else if (byte === 36 && bytes[i + 1] === openBrace) {
          inTemplate = false
          braces.push(0)
          i += 2
        } else i++
        continue
      }
      const kind = kinds[byte]
      if (kind === plainByte) {
        hasCode = true
        i++
        continue
      }
      if (kind === spaceByte) {
        i++
        continue
      }
      const atStart = !hasCode && !hasComment
      let found: Opening | undefined
      const candidates = table[byte]
      if (candidates !== undefined) {
        for (const candidate of candidates) {
          if (candidate.kind === "line" && lineStartOnly && !atStart) continue
          if (candidate.kind === "block" && candidate.atLineStart && i !== lineStart) continue
          if (matches(bytes, i, candidate.open)) {
            found = candidate
            break
          }
        }
      }
      if (found === undefined) {
        hasCode = true
        if (!isScript) i = hasCharacters && byte === quote ? afterCharacter(bytes, i) : i + 1
        else if (byte === slash) i = beginsRegExp(bytes, i) ? afterRegExp(bytes, i) : i + 1
        else {
          const open = braces.at(-1)
          if (byte === backtick) inTemplate = true
          else if (open !== undefined && byte === openBrace) braces[braces.length - 1] = open + 1
          else if (open !== undefined && byte === closeBrace) {
            if (open === 0) {
              braces.pop()
              inTemplate = true
            } else braces[braces.length - 1] = open - 1
          }
          i++
        }
      } else if (found.kind === "line") {
        // A script's first line tells who runs it.
        if (i === 0 && byte === 35 && bytes[1] === 33) hasCode = true
        else hasComment = true
        const next = bytes.indexOf(newline, i)
        i = next === -1 ? end : next
      } else if (found.kind === "block") {
        hasComment = true
        block = found
        depth = 1
        i += found.open.length
      } else {
        hasCode = true
        text = found
        i += found.open.length
      }
    }
    if (lineStart < end) endLine()
    return { code, comments, blanks }
  }
}
