/** What is known of a column after all its values have passed: type, range, nulls, different values. */
import type { Column, ColumnType } from "../../../services/tools/FileProfile.ts"
import { decode } from "./decode.ts"
import * as DistinctCounter from "./DistinctCounter.ts"

/** Most bytes of a text that a range shows. */
const maxText = 100

const isDigit = (byte: number | undefined) => byte !== undefined && byte >= 48 && byte <= 57

const bytesOf = (text: string) => new TextEncoder().encode(text)
const nullWords = ["null", "NULL", "NA", "N/A", String.raw`\N`].map(bytesOf)
const booleanWords = ["true", "false", "TRUE", "FALSE", "True", "False"].map(bytesOf)

const isOneOf = (words: ReadonlyArray<Uint8Array>, bytes: Uint8Array, start: number, end: number): boolean => {
  for (const word of words) if (compare(bytes, start, end, word) === 0) return true
  return false
}

const isDateAt = (bytes: Uint8Array, at: number) =>
  isDigit(bytes[at]) &&
  isDigit(bytes[at + 1]) &&
  isDigit(bytes[at + 2]) &&
  isDigit(bytes[at + 3]) &&
  bytes[at + 4] === 45 &&
  isDigit(bytes[at + 5]) &&
  isDigit(bytes[at + 6]) &&
  bytes[at + 7] === 45 &&
  isDigit(bytes[at + 8]) &&
  isDigit(bytes[at + 9])

const timePattern = /^[T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?\s?(Z|[+-]\d{2}:?\d{2})?$/

type Kind = "null" | "boolean" | "integer" | "number" | "date" | "datetime" | "text" | "object" | "array"

const kinds: ReadonlyArray<Kind> = [
  "null",
  "boolean",
  "integer",
  "number",
  "date",
  "datetime",
  "text",
  "object",
  "array"
]
const codes = new Map(kinds.map((kind, index) => [kind, index]))
const code = (kind: Kind): number => codes.get(kind) ?? 0
const codeOf = {
  null: code("null"),
  boolean: code("boolean"),
  integer: code("integer"),
  number: code("number"),
  date: code("date"),
  datetime: code("datetime"),
  text: code("text"),
  object: code("object"),
  array: code("array")
}

/** The kind of a text by its bytes. A number with needless zeros in front is text: it is a code, not a quantity. */
const kindOf = (bytes: Uint8Array, start: number, end: number): number => {
  const length = end - start
  if (length === 0) return codeOf.null
  const first = bytes[start] ?? 0
  if (isDigit(first) || first === 45 || first === 43 || first === 46) {
    let i = first === 45 || first === 43 ? start + 1 : start
    const digits = i
    while (i < end && isDigit(bytes[i])) i++
    const whole = i - digits
    if (whole > 1 && bytes[digits] === 48 && i === end) return codeOf.text
    if (i === end && whole > 0) return codeOf.integer
    if (length >= 10 && whole === 4 && i === start + 4 && isDateAt(bytes, start)) {
      if (length === 10) return codeOf.date
      if (length <= 40 && timePattern.test(textOf(bytes, start + 10, end))) return codeOf.datetime
      return codeOf.text
    }
    let fraction = 0
    if (bytes[i] === 46) {
      i++
      while (i < end && isDigit(bytes[i])) {
        i++
        fraction++
      }
    }
    if (whole + fraction === 0) return codeOf.text
    if (i < end && (bytes[i] === 101 || bytes[i] === 69)) {
      i++
      if (bytes[i] === 45 || bytes[i] === 43) i++
      const exponent = i
      while (i < end && isDigit(bytes[i])) i++
      if (i === exponent) return codeOf.text
    }
    return i === end ? codeOf.number : codeOf.text
  }
  // Only these begin one of the words looked for: F N T \ f n t.
  if (length <= 5 && (first === 92 || (first | 32) === 102 || (first | 32) === 110 || (first | 32) === 116)) {
    if (isOneOf(nullWords, bytes, start, end)) return codeOf.null
    if (isOneOf(booleanWords, bytes, start, end)) return codeOf.boolean
  }
  return codeOf.text
}

const textOf = (bytes: Uint8Array, start: number, end: number) =>
  Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1")

/** The value of a decimal number by its bytes; those with too many digits or an exponent by way of a string. */
const numberOf = (bytes: Uint8Array, start: number, end: number): number => {
  let value = 0
  let digits = 0
  let point = -1
  const sign = bytes[start]
  for (let i = sign === 45 || sign === 43 ? start + 1 : start; i < end; i++) {
    const byte = bytes[i] ?? 0
    if (byte === 46) point = i
    else if (byte >= 48 && byte <= 57 && ++digits <= 15) value = value * 10 + (byte - 48)
    else return Number(textOf(bytes, start, end))
  }
  // Both are exact below sixteen digits, so the quotient is the nearest number there is.
  if (point !== -1) value /= 10 ** (end - point - 1)
  return sign === 45 ? -value : value
}

const compare = (a: Uint8Array, start: number, end: number, b: Uint8Array): number => {
  const length = Math.min(end - start, b.length)
  for (let i = 0; i < length; i++) {
    const difference = (a[start + i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return end - start - b.length
}

const dateKindOf = (text: string): number => {
  // Digits first, and not many: most texts are told apart by their first character.
  if (!isDigit(text.charCodeAt(0)) || text.length < 10 || text.length > 40) return codeOf.text
  const bytes = bytesOf(text)
  const kind = kindOf(bytes, 0, bytes.length)
  return kind === codeOf.date || kind === codeOf.datetime ? kind : codeOf.text
}

export interface ColumnProfile {
  /** A value of a text table. */
  readonly addBytes: (bytes: Uint8Array, start: number, end: number) => void
  /** A value of a JSON record. */
  readonly addJson: (value: unknown) => void
  readonly end: (rows: number) => Column
}

export const make = (name: string): ColumnProfile => {
  const counts = new Uint32Array(kinds.length)
  const distinct = DistinctCounter.make()
  let smallest = Infinity
  let largest = -Infinity
  let first: Uint8Array | undefined
  let last: Uint8Array | undefined
  let firstText: string | undefined
  let lastText: string | undefined

  const addNumber = (value: number) => {
    if (value < smallest) smallest = value
    if (value > largest) largest = value
  }

  const addBytes = (bytes: Uint8Array, start: number, end: number) => {
    const kind = kindOf(bytes, start, end)
    counts[kind] = (counts[kind] ?? 0) + 1
    if (kind === codeOf.null) return
    let high = 0x811c9dc5
    let low = 0x9747b28c
    for (let i = start; i < end; i++) {
      const byte = bytes[i] ?? 0
      high = Math.imul(high ^ byte, 0x01000193)
      low = Math.imul(low, 31) + byte
    }
    distinct.add(DistinctCounter.mix(high), DistinctCounter.mix(low ^ (end - start)))
    if (kind === codeOf.integer || kind === codeOf.number) addNumber(numberOf(bytes, start, end))
    let stop = Math.min(end, start + maxText)
    // Not in the middle of a character.
    while (stop < end && ((bytes[stop] ?? 0) & 0xc0) === 0x80 && stop > start) stop--
    // The buffer belongs to the reader, so what is kept is copied; a new extreme soon becomes rare.
    if (first === undefined || compare(bytes, start, stop, first) < 0)
      first = Uint8Array.from(bytes.subarray(start, stop))
    if (last === undefined || compare(bytes, start, stop, last) > 0) last = Uint8Array.from(bytes.subarray(start, stop))
  }

  const addText = (text: string, kind: number) => {
    counts[kind] = (counts[kind] ?? 0) + 1
    let high = 0x811c9dc5
    let low = 0x9747b28c
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      high = Math.imul(high ^ unit, 0x01000193)
      low = Math.imul(low, 31) + unit
    }
    distinct.add(DistinctCounter.mix(high), DistinctCounter.mix(low ^ text.length ^ (kind << 24)))
    if (firstText === undefined || text < firstText) firstText = text.slice(0, maxText)
    if (lastText === undefined || text > lastText) lastText = text.slice(0, maxText)
  }

  const typeOf = (): ColumnType => {
    const has = (kind: keyof typeof codeOf) => (counts[codeOf[kind]] ?? 0) > 0
    const present = kinds.filter((kind) => kind !== "null" && has(kind))
    if (present.length === 0) return "empty"
    if (present.length === 1) return present[0] === "null" ? "empty" : (present[0] ?? "empty")
    const only = (...allowed: ReadonlyArray<Kind>) => present.every((kind) => allowed.includes(kind))
    if (only("integer", "number")) return "number"
    if (only("date", "datetime")) return "datetime"
    return has("object") || has("array") ? "mixed" : "text"
  }

  return {
    addBytes,
    addJson: (value) => {
      if (value === null || value === undefined) return
      switch (typeof value) {
        case "string":
          // In JSON only a text can be a date; digits in quotes are no number.
          addText(value, dateKindOf(value))
          break
        case "number":
          addText(String(value), Number.isInteger(value) ? codeOf.integer : codeOf.number)
          addNumber(value)
          break
        case "boolean":
          addText(value ? "true" : "false", codeOf.boolean)
          break
        default:
          addText(JSON.stringify(value), Array.isArray(value) ? codeOf.array : codeOf.object)
      }
    },
    end: (rows) => {
      const type = typeOf()
      const isNumeric = type === "integer" || type === "number"
      const hasRange = type !== "empty" && type !== "object" && type !== "array" && type !== "mixed"
      const present = counts.reduce((sum, count, kind) => (kind === codeOf.null ? sum : sum + count), 0)
      const text = (bytes: Uint8Array | undefined, text: string | undefined) => text ?? decode(Buffer.from(bytes ?? []))
      const { distinct: count, isExact } = distinct.count()
      return {
        name,
        type,
        nulls: Math.max(0, rows - present),
        ...(hasRange && {
          min: isNumeric && Number.isFinite(smallest) ? smallest : text(first, firstText),
          max: isNumeric && Number.isFinite(largest) ? largest : text(last, lastText)
        }),
        distinct: count,
        distinctIsExact: isExact
      }
    }
  }
}

/** Whether a field could be a column's name rather than a value. */
export const looksLikeName = (bytes: Uint8Array, start: number, end: number): boolean =>
  kindOf(bytes, start, end) === codeOf.text
