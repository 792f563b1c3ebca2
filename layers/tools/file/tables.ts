/** Tables as they pass by: the columns of a CSV file and the keys of JSON records. */
import type { Column, Table } from "../../../services/tools/FileProfile.ts"
import * as limits from "../../../services/tools/fileLimits.ts"
import * as ColumnProfile from "./ColumnProfile.ts"
import * as CsvReader from "./CsvReader.ts"
import { decode } from "./decode.ts"
import * as LineSplitter from "./LineSplitter.ts"

export interface TableReader {
  readonly push: (bytes: Buffer) => void
  readonly end: () => Table
}

const nameOf = (text: string) =>
  text.length > limits.nameCharacters ? `${text.slice(0, limits.nameCharacters)}…` : text

export const csv = (delimiter: number, header: boolean): TableReader => {
  const columns: Array<ColumnProfile.ColumnProfile> = []
  let width = 0
  let records = 0
  let irregularRows = 0
  const reader = CsvReader.make(
    delimiter,
    (column, bytes, start, end) => {
      if (records === 0) {
        if (column < limits.columns) {
          const name = header ? nameOf(decode(Buffer.from(bytes.subarray(start, end)))) : ""
          columns.push(ColumnProfile.make(name === "" ? `column_${column + 1}` : name))
        }
        if (header) return
      }
      columns[column]?.addBytes(bytes, start, end)
    },
    (fields) => {
      if (records === 0) width = fields
      else if (fields !== width) irregularRows++
      records++
    }
  )
  return {
    push: reader.push,
    end: () => {
      reader.end()
      const rows = header ? Math.max(0, records - 1) : records
      return {
        format: "csv",
        delimiter: String.fromCharCode(delimiter),
        header,
        rows,
        irregularRows,
        columns: columns.map((column) => column.end(rows)),
        columnsOmitted: Math.max(0, width - columns.length)
      }
    }
  }
}

export const jsonl = (): TableReader => {
  const columns = new Map<string, ColumnProfile.ColumnProfile>()
  const omitted = new Set<string>()
  let rows = 0
  let irregularRows = 0
  const splitter = LineSplitter.make((line, isCut) => {
    if (line.length === 0 || (line.length < 64 && line.toString("latin1").trim() === "")) return
    rows++
    let record: unknown
    try {
      record = isCut ? undefined : JSON.parse(decode(line))
    } catch {
      record = undefined
    }
    if (typeof record !== "object" || record === null || Array.isArray(record)) {
      irregularRows++
      return
    }
    for (const key in record) {
      let column = columns.get(key)
      if (column === undefined) {
        if (columns.size >= limits.columns) {
          // Keys that are values would grow without end.
          if (omitted.size < limits.omittedCounted) omitted.add(key)
          continue
        }
        columns.set(key, (column = ColumnProfile.make(nameOf(key))))
      }
      column.addJson((record as Readonly<Record<string, unknown>>)[key])
    }
  })
  return {
    push: splitter.push,
    end: () => {
      splitter.end()
      const found: ReadonlyArray<Column> = [...columns.values()].map((column) => column.end(rows))
      return { format: "jsonl", header: false, rows, irregularRows, columns: found, columnsOmitted: omitted.size }
    }
  }
}
