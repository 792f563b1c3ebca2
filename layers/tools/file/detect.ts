/** What a file is, by its name and its beginning: encoding, and whether it is a table. */
import { extname } from "node:path"
import * as CsvReader from "./CsvReader.ts"
import { looksLikeName } from "./ColumnProfile.ts"

export type Transcoding = "none" | "utf-16le" | "utf-16be"

export interface Detected {
  readonly transcoding: Transcoding
  /** Bytes of the byte order mark. */
  readonly bom: number
  readonly isBinary: boolean
}

export const detectEncoding = (sample: Uint8Array): Detected => {
  if (sample[0] === 0xef && sample[1] === 0xbb && sample[2] === 0xbf)
    return { transcoding: "none", bom: 3, isBinary: false }
  if (sample[0] === 0xff && sample[1] === 0xfe) return { transcoding: "utf-16le", bom: 2, isBinary: false }
  if (sample[0] === 0xfe && sample[1] === 0xff) return { transcoding: "utf-16be", bom: 2, isBinary: false }
  let even = 0
  let odd = 0
  for (let i = 0; i < sample.length; i++) {
    if (sample[i] === 0) {
      if (i % 2 === 0) even++
      else odd++
    }
  }
  const half = sample.length / 2
  // Western text in UTF-16 has a zero in nearly every other byte.
  if (odd > half * 0.7 && even < half * 0.05) return { transcoding: "utf-16le", bom: 0, isBinary: false }
  if (even > half * 0.7 && odd < half * 0.05) return { transcoding: "utf-16be", bom: 0, isBinary: false }
  return { transcoding: "none", bom: 0, isBinary: even + odd > 0 }
}

export type Format =
  | { readonly _tag: "Text" }
  | { readonly _tag: "Csv"; readonly delimiter: number; readonly header: boolean }
  | { readonly _tag: "Jsonl" }

const text: Format = { _tag: "Text" }
const comma = 44
const tab = 9
const semicolon = 59
const pipe = 124

const delimiters: ReadonlyArray<number> = [comma, tab, semicolon, pipe]

interface Shape {
  readonly delimiter: number
  readonly fields: number
  readonly records: number
  readonly isRegular: boolean
  readonly header: boolean
}

/** How the sample reads with a delimiter. Its last record may be cut, so it does not count. */
const shapeOf = (sample: Uint8Array, delimiter: number, isWhole: boolean): Shape => {
  const widths: Array<number> = []
  let header = true
  const reader = CsvReader.make(
    delimiter,
    (_, bytes, start, end) => {
      if (widths.length === 0 && !looksLikeName(bytes, start, end)) header = false
    },
    (fields) => void widths.push(fields)
  )
  reader.push(sample)
  if (isWhole) reader.end()
  const fields = widths[0] ?? 1
  const alike = widths.filter((width) => width === fields).length
  return { delimiter, fields, records: widths.length, isRegular: alike === widths.length, header }
}

const isJsonObject = (line: string) => {
  if (!line.startsWith("{")) return false
  try {
    JSON.parse(line)
    return true
  } catch {
    return false
  }
}

/** Extensions that say the file is something else, however much its beginning looks like a table. */
const unlikely = new Set([
  ".md",
  ".ts",
  ".js",
  ".json",
  ".html",
  ".xml",
  ".yaml",
  ".yml",
  ".css",
  ".py",
  ".c",
  ".h",
  ".go",
  ".rs",
  ".java"
])

export const detectFormat = (path: string, sample: Uint8Array, isWhole: boolean): Format => {
  const extension = extname(path.replace(/\.(txt|log)$/i, "")).toLowerCase()
  if (extension === ".jsonl" || extension === ".ndjson") return { _tag: "Jsonl" }
  const shapes = delimiters.map((delimiter) => shapeOf(sample, delimiter, isWhole))
  if (extension === ".tsv" || extension === ".tab") {
    const shape = shapes.find(({ delimiter }) => delimiter === tab)
    return { _tag: "Csv", delimiter: tab, header: shape?.header ?? true }
  }
  const best = shapes.filter(({ fields, isRegular }) => fields > 1 && isRegular).sort((a, b) => b.fields - a.fields)[0]
  if (extension === ".csv") {
    // The comma unless only another delimiter makes a table of it.
    const found =
      shapes.find(({ delimiter, fields, isRegular }) => delimiter === comma && fields > 1 && isRegular) ??
      best ??
      shapes[0]
    return { _tag: "Csv", delimiter: found?.delimiter ?? comma, header: found?.header ?? true }
  }
  if (unlikely.has(extension)) return text
  const lines = Buffer.from(sample).toString("utf8").split("\n")
  const whole = (isWhole ? lines : lines.slice(0, -1)).filter((line) => line.trim() !== "").slice(0, 20)
  if (whole.length >= 3 && whole.every((line) => isJsonObject(line.trim()))) return { _tag: "Jsonl" }
  // Prose has commas too: only many alike records make a table.
  return best !== undefined && best.records >= 10 && best.header
    ? { _tag: "Csv", delimiter: best.delimiter, header: true }
    : text
}

/** The name of an encoding that needs no transcoding, by what the whole file turned out to be. */
export const nameOf = (found: { readonly isAscii: boolean; readonly isUtf8: boolean; readonly bom: boolean }) =>
  found.bom ? (found.isUtf8 ? "utf-8" : "latin-1") : found.isAscii ? "ascii" : found.isUtf8 ? "utf-8" : "latin-1"
