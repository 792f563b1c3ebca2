/** Lines, words and the longest line of a text that comes in pieces, and whether it is ASCII or valid UTF-8. */
import { isAscii, isUtf8 } from "node:buffer"

export interface TextCount {
  readonly lines: number
  readonly words: number
  readonly longestLine: { readonly line: number; readonly bytes: number } | undefined
  readonly isAscii: boolean
  readonly isUtf8: boolean
}

const ordinary = 0
const space = 1
const lineEnd = 2

const kinds = new Uint8Array(256)
for (const byte of [9, 11, 12, 13, 32]) kinds[byte] = space
kinds[10] = lineEnd

/** Bytes at the end of a piece that begin a character without ending it. */
const unfinished = (bytes: Uint8Array): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return 0
    if (byte >= 0xc0) return (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) > back ? back : 0
  }
  return 0
}

export const make = () => {
  let lineEnds = 0
  let words = 0
  let inWord = false
  let length = 0
  let lastByte = lineEnd
  let longest = -1
  let longestLine = 0
  let ascii = true
  let utf8 = true
  let rest: Uint8Array = new Uint8Array(0)

  const validate = (bytes: Uint8Array) => {
    if (rest.length === 0 && isAscii(bytes)) return
    ascii = false
    if (!utf8) return
    const all = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    const open = unfinished(all)
    utf8 = isUtf8(all.subarray(0, all.length - open))
    // The buffer belongs to the reader, who will write over it.
    rest = Uint8Array.from(all.subarray(all.length - open))
  }

  return {
    push: (bytes: Uint8Array): void => {
      validate(bytes)
      let word = inWord
      let counted = 0
      let start = 0
      for (let i = 0; i < bytes.length; i++) {
        const kind = kinds[bytes[i] ?? 0]
        if (kind === ordinary) {
          if (!word) {
            word = true
            counted++
          }
        } else {
          word = false
          if (kind === lineEnd) {
            lineEnds++
            const before = i > 0 ? bytes[i - 1] : lastByte
            const total = length + i - start - (before === 13 ? 1 : 0)
            if (total > longest) {
              longest = total
              longestLine = lineEnds
            }
            length = 0
            start = i + 1
          }
        }
      }
      length += bytes.length - start
      words += counted
      inWord = word
      lastByte = bytes.at(-1) ?? lastByte
    },
    end: (): TextCount => {
      const isOpen = length > 0
      if (isOpen && length > longest) {
        longest = length
        longestLine = lineEnds + 1
      }
      return {
        lines: lineEnds + (isOpen ? 1 : 0),
        words,
        longestLine: longest < 0 ? undefined : { line: longestLine, bytes: longest },
        isAscii: ascii && rest.length === 0,
        isUtf8: utf8 && rest.length === 0
      }
    }
  }
}
