/**
 * What the recorded load says will come: Holt's linear trend over arrivals a second, which is a moving mean of the rate
 * and a moving mean of how it changes.
 */

export interface Forecast {
  /** When the load was last looked at, in milliseconds; undefined before the first look. */
  readonly at: number | undefined
  /** Arrivals a second, and how much that changes in a second. */
  readonly level: number
  readonly trend: number
}

export const initial: Forecast = { at: undefined, level: 0, trend: 0 }

/** How much the newest look counts, for the level and for the trend. */
const alpha = 0.4
const beta = 0.2

/** Takes in how many arrived since the last look. */
export const observe = ({ at: before, level, trend }: Forecast, at: number, arrived: number): Forecast => {
  if (before === undefined || at <= before) return { at, level, trend }
  const passed = (at - before) / 1_000
  const expected = Math.max(0, level + trend * passed)
  const next = alpha * (arrived / passed) + (1 - alpha) * expected
  return { at, level: next, trend: beta * ((next - level) / passed) + (1 - beta) * trend }
}

/** Arrivals a second that are expected so many milliseconds later. */
export const ahead = ({ level, trend }: Forecast, milliseconds: number): number =>
  Math.max(0, level + (trend * milliseconds) / 1_000)
