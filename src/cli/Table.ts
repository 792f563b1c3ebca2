/** Tables for people: a heading, aligned columns, the last one cut to the terminal's width. */
import * as Terminal from "./Terminal.ts"

export interface Column<Row> {
  readonly name: string
  readonly value: (row: Row) => string
  readonly align?: "left" | "right"
  readonly style?: (text: string, row: Row) => string
}

/** What the last column needs at least, for all but a word of it to be cut. */
const least = 10

/**
 * `empty` is what is said instead of a table without rows. A terminal that is too narrow for all columns gets the
 * first of them; a pipe gets everything.
 */
export const render = <Row>(rows: ReadonlyArray<Row>, all: ReadonlyArray<Column<Row>>, empty: string): string => {
  if (rows.length === 0) return Terminal.dim(empty)
  const room = Terminal.isTerminal("stdout") ? Terminal.width("stdout") : Infinity
  const cells = rows.map((row) => all.map(({ value }) => Terminal.plain(value(row))))
  const widths = all.map(({ name }, at) =>
    Math.max(name.length, ...cells.map((line) => Terminal.columns(line[at] ?? "")))
  )
  const before = (at: number): number => widths.slice(0, at).reduce((sum, width) => sum + width + 2, 0)
  const columns = all.filter((_, at) => at === 0 || before(at) + Math.min(least, widths[at] ?? 0) <= room)
  const last = columns.length - 1
  const pad = (text: string, at: number): string => {
    const shown = at === last ? Terminal.fit(text, Math.max(least, room - before(at))) : text
    const missing = " ".repeat(Math.max(0, (widths[at] ?? 0) - Terminal.columns(shown)))
    if (columns[at]?.align === "right") return missing + shown
    return at === last ? shown : shown + missing
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
