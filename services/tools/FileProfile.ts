/** What `process_large_file` is asked and what it finds. Every list is bounded, so a result fits in one message. */
import { Schema } from "effect"

export const ProcessLargeFile = Schema.Struct({
  path: Schema.NonEmptyString.check(Schema.isMaxLength(4096)).annotate({
    description: "file to read, as the server sees it"
  }),
  pattern: Schema.optionalKey(
    Schema.NonEmptyString.check(Schema.isMaxLength(1000)).annotate({
      description: "regular expression in RE2 syntax, looked for in each line; linear in time, so no backreferences"
    })
  )
})
export type ProcessLargeFile = typeof ProcessLargeFile.Type

export const Encoding = Schema.Struct({
  /** `latin-1` is a guess: text that is not valid UTF-8. `binary`: not text. */
  name: Schema.Literals(["ascii", "utf-8", "utf-16le", "utf-16be", "latin-1", "binary"]),
  /** Begins with a byte order mark. */
  bom: Schema.Boolean
})
export type Encoding = typeof Encoding.Type

/** `date` and `datetime` are in ISO 8601. `mixed` columns hold values of several kinds, told apart in JSON only. */
export const ColumnType = Schema.Literals([
  "empty",
  "boolean",
  "integer",
  "number",
  "date",
  "datetime",
  "text",
  "object",
  "array",
  "mixed"
])
export type ColumnType = typeof ColumnType.Type

export const Column = Schema.Struct({
  name: Schema.String,
  type: ColumnType,
  /** Rows without a value: empty, `null`, `NULL`, `NA`, `N/A` or `\N`, or where the key is absent. */
  nulls: Schema.Int,
  /** Numbers by size, all else by the order of its bytes; text is cut after some characters. */
  min: Schema.optionalKey(Schema.Union([Schema.Finite, Schema.String])),
  max: Schema.optionalKey(Schema.Union([Schema.Finite, Schema.String])),
  /** Different values. */
  distinct: Schema.Int,
  /** Otherwise an estimate with a standard error of 1.6 %. */
  distinctIsExact: Schema.Boolean
})
export type Column = typeof Column.Type

export const Table = Schema.Struct({
  format: Schema.Literals(["csv", "jsonl"]),
  delimiter: Schema.optionalKey(Schema.String),
  /** Whether the first line names the columns. */
  header: Schema.Boolean,
  /** Records, without the header. */
  rows: Schema.Int,
  /** Records with another number of fields than the first, or lines that are no JSON object. */
  irregularRows: Schema.Int,
  columns: Schema.Array(Column),
  columnsOmitted: Schema.Int
})
export type Table = typeof Table.Type

export const PatternMatch = Schema.Struct({
  /** From 1. */
  line: Schema.Int,
  /** The line, cut after some characters around the match. */
  text: Schema.String
})
export type PatternMatch = typeof PatternMatch.Type

export const PatternMatches = Schema.Struct({
  pattern: Schema.String,
  /** Lines that match. */
  total: Schema.Int,
  /** The first of them. */
  first: Schema.Array(PatternMatch),
  /** Lines that were looked at only up to their first mebibyte. */
  cutLines: Schema.Int
})
export type PatternMatches = typeof PatternMatches.Type

export const FileProfile = Schema.Struct({
  path: Schema.String,
  bytes: Schema.Int,
  /** A last line without a line end counts too. */
  lines: Schema.Int,
  /** Separated by white space. */
  words: Schema.Int,
  /** The first of its length; absent in an empty file. Bytes of the line's text as UTF-8, or as they stand in other encodings of single bytes. */
  longestLine: Schema.optionalKey(Schema.Struct({ line: Schema.Int, bytes: Schema.Int })),
  encoding: Encoding,
  table: Schema.optionalKey(Table),
  matches: Schema.optionalKey(PatternMatches)
})
export type FileProfile = typeof FileProfile.Type
