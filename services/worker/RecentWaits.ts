/** The newest of many durations, and what part of them was how long: bounded, whatever is added. */

const kept = 1_000

export class RecentWaits {
  private readonly values = new Float64Array(kept)
  private added = 0
  /** Those that there are, in order, until another one comes. */
  private sorted: Float64Array | undefined

  add(milliseconds: number) {
    this.values[this.added++ % kept] = milliseconds
    this.sorted = undefined
  }

  /** The smallest that at least this part of them does not exceed; 0 while there are none. */
  quantiles(...parts: ReadonlyArray<number>): ReadonlyArray<number> {
    const sorted = (this.sorted ??= this.values.slice(0, Math.min(this.added, kept)).sort())
    return parts.map((part) => sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0)
  }
}
