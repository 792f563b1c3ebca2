/** One measured figure beside its baseline, both taken in this run. */
export interface Figure {
  readonly name: string
  /** `µs`, `/s`, `KB` … */
  readonly unit: string
  readonly value: number
  /** What it is measured against; absent when that is not on this machine. */
  readonly baseline?: { readonly name: string; readonly value: number }
  /** What the ratio should reach, in words. */
  readonly bar?: string
}

const digits = (value: number) =>
  value >= 1000 ? Math.round(value).toLocaleString("en-US") : value >= 10 ? value.toFixed(1) : value.toPrecision(3)

export const ratio = ({ baseline, value }: Figure): number | undefined =>
  baseline === undefined ? undefined : value / baseline.value

export const toJson = (figure: Figure): string =>
  JSON.stringify({
    name: figure.name,
    unit: figure.unit,
    value: figure.value,
    baseline: figure.baseline?.name ?? null,
    baselineValue: figure.baseline?.value ?? null,
    ratio: ratio(figure) ?? null,
    bar: figure.bar ?? null
  })

export const toTable = (figures: ReadonlyArray<Figure>): string => {
  const rows = [
    ["figure", "value", "baseline", "", "ratio", "bar"],
    ...figures.map((figure) => [
      figure.name,
      `${digits(figure.value)} ${figure.unit}`,
      figure.baseline === undefined ? "-" : `${digits(figure.baseline.value)} ${figure.unit}`,
      figure.baseline?.name ?? "",
      ratio(figure)?.toFixed(2) ?? "-",
      figure.bar ?? ""
    ])
  ]
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 1 || column === 2 || column === 4
            ? cell.padStart(widths[column] ?? 0)
            : cell.padEnd(widths[column] ?? 0)
        )
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
