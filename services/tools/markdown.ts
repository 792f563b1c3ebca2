/** Markdown around text that others wrote: nothing in it may end a cell or begin markup. */

export const escape = (text: string): string =>
  text.replaceAll(/[\\|`<>*_[\]#]/g, String.raw`\$&`).replaceAll(/\s+/g, " ")

export const count = (value: number): string => String(value).replaceAll(/\B(?=(\d{3})+$)/g, ",")

/** A table whose first column is a name and whose figures are to the right. */
export const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string | number>>): string =>
  [
    `| ${head.join(" | ")} |`,
    `| ${head.map((_, column) => (rows.every((row) => typeof row[column] === "number" || row[column] === "") && column > 0 ? "---:" : "---")).join(" | ")} |`,
    ...rows.map(
      (row) => `| ${row.map((cell) => (typeof cell === "number" ? count(cell) : escape(cell))).join(" | ")} |`
    )
  ].join("\n")

/** At most `limit` characters, whole lines, with a note where something is missing. */
export const truncate = (document: string, limit: number): string => {
  if (document.length <= limit) return document
  const end = document.lastIndexOf("\n", limit)
  return `${document.slice(0, end === -1 ? limit : end)}\n\n*The report is longer than ${count(limit)} characters and was cut here.*\n`
}
