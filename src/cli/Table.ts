/** Tables for people: a heading, aligned columns, the last one cut to the terminal's width. */
import * as Terminal from "./Terminal.ts"

export interface Column<Row> {
  readonly name: string
  readonly value: (row: Row) => string
  readonly align?: "left" | "right"
  readonly style?: (text: string, row: Row) => string
}

/** `empty` is what is said instead of a table without rows. */
export const render = <Row>(rows: ReadonlyArray<Row>, columns: ReadonlyArray<Column<Row>>, empty: string): string => {
  if (rows.length === 0) return Terminal.dim(empty)
  const cells = rows.map((row) => columns.map(({ value }) => Terminal.plain(value(row))))
  const widths = columns.map(({ name }, at) =>
    Math.max(name.length, ...cells.map((line) => Terminal.columns(line[at] ?? "")))
  )
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0)
  const last = Math.max(10, Terminal.width("stdout") - before)
  const isCut = Terminal.isTerminal("stdout")
  const pad = (text: string, at: number): string => {
    const shown = at === columns.length - 1 && isCut ? Terminal.fit(text, last) : text
    const room = " ".repeat(Math.max(0, (widths[at] ?? 0) - Terminal.columns(shown)))
    if (columns[at]?.align === "right") return room + shown
    return at === columns.length - 1 ? shown : shown + room
  }
  const heading = Terminal.bold(columns.map(({ name }, at) => pad(name, at)).join("  "))
  const body = rows.map((row, line) =>
    columns
      .map(({ style }, at) => {
        const text = pad(cells[line]?.[at] ?? "", at)
        return style === undefined ? text : style(text, row)
      })
      .join("  ")
      .trimEnd()
  )
  return [heading, ...body].join("\n")
}

/** Names and values below each other. */
export const facts = (pairs: ReadonlyArray<readonly [name: string, value: string | undefined]>): string => {
  const shown = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined && pair[1] !== "")
  const width = Math.max(...shown.map(([name]) => name.length))
  return shown.map(([name, value]) => `${Terminal.dim(name.padEnd(width))}  ${Terminal.plain(value)}`).join("\n")
}
