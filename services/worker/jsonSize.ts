/** How many bytes a value takes as JSON text in UTF-8, counted only until it passes a limit. */
import type { Schema } from "effect"

/** Characters that JSON writes with a backslash, control characters aside. */
const isEscaped = (code: number) => code === 0x22 || code === 0x5c
const isShortEscape = (code: number) => code === 8 || code === 9 || code === 10 || code === 12 || code === 13

const stringSize = (text: string, limit: number): number => {
  // Each character takes at least one byte, so a longer text needs no counting.
  if (text.length > limit) return text.length
  let size = 2
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (isEscaped(code) || isShortEscape(code)) size += 2
    else if (code < 0x20) size += 6
    else if (code < 0x80) size += 1
    else if (code < 0x800) size += 2
    else if (code < 0xd800 || code > 0xdfff) size += 3
    else {
      const isPair = code < 0xdc00 && (text.charCodeAt(index + 1) & 0xfc00) === 0xdc00
      // A pair is one character of four bytes; a lone surrogate is written as \udXXX.
      size += isPair ? 4 : 6
      if (isPair) index++
    }
  }
  return size
}

/** The exact size when it is at most `limit`; otherwise some number above it. */
export const jsonSize = (value: Schema.Json, limit: number): number => {
  let size = 0
  const waiting: Array<Schema.Json | undefined> = [value]
  while (waiting.length > 0 && size <= limit) {
    const item = waiting.pop()
    if (item === null || item === undefined) size += 4
    else if (typeof item === "string") size += stringSize(item, limit)
    else if (typeof item === "boolean") size += item ? 4 : 5
    else if (typeof item === "number") size += Number.isFinite(item) ? String(item).length : 4
    else if (Array.isArray(item)) {
      size += 2 + Math.max(0, item.length - 1)
      if (size + item.length > limit) return size + item.length
      for (const element of item) waiting.push(element)
    } else {
      const entries = Object.entries(item).filter(([, member]) => member !== undefined)
      size += 2 + Math.max(0, entries.length - 1)
      for (const [key, member] of entries) {
        size += stringSize(key, limit) + 1
        waiting.push(member)
      }
    }
  }
  return size
}
