/**
 * How many permits a pool should have now. Pure: the pool samples itself once a second, asks, and obeys.
 *
 * What would be right now is what runs, and as many more as it takes to start all that wait within `wait`. A predictive
 * pool takes the larger of that and what the expected arrivals will need by Little's law: arrivals a second times
 * seconds each runs.
 *
 * It grows at once, `step` permits a second, unless the process is at its limits. It shrinks only when for a whole
 * `cooldown` a quarter less would have done, to the most that was needed in that time. Between growing and shrinking
 * lies at least one `cooldown`, so a load that comes and goes is answered by at most one turn in that time.
 */
import * as Forecast from "./Forecast.ts"
import type { Scaling } from "./PoolLimits.ts"

export interface Sample {
  /** Milliseconds, of a clock that nobody sets. */
  readonly at: number
  readonly permits: number
  readonly running: number
  /** Tasks that wait and may run: one that its quota holds back needs no permit. */
  readonly queued: number
  /** Tasks that came since the sample before. */
  readonly arrived: number
  /** Milliseconds that the first in line has waited. */
  readonly waited: number
  /** Milliseconds that a task runs, in the mean; undefined while none has ended. */
  readonly runTime: number | undefined
  /** Share of the machine's processors that this process uses, 0 to 1. */
  readonly cpu: number
  /** Milliseconds that the event loop is late, for 99 of 100 looks. */
  readonly eventLoopDelay: number
}

export interface Bounds {
  readonly min: number
  readonly max: number
}

export interface Memory {
  /** The last change: 1 grew, -1 shrank. */
  readonly direction: -1 | 0 | 1
  readonly changedAt: number
  /** Since when less would do, and the most that was needed since. */
  readonly calmSince: number | undefined
  readonly peak: number
  readonly forecast: Forecast.Forecast
}

export const initial: Memory = {
  direction: 0,
  changedAt: -Infinity,
  calmSince: undefined,
  peak: 0,
  forecast: Forecast.initial
}

export interface Plan {
  readonly memory: Memory
  /** Absent when the pool is to stay as it is. */
  readonly step?: { readonly to: number; readonly reason: string }
}

/** Beyond these more workers would only make everything slower. */
export const limits = { cpu: 0.95, eventLoopDelay: 250 } as const

/** Milliseconds ahead of which a predictive pool looks: as long as it may take to get there. */
const horizon = 5_000

const seconds = (milliseconds: number) => `${Math.round(milliseconds / 100) / 10} s`

interface Want {
  readonly permits: number
  readonly reason: string
}

/** What is needed to start all that wait within the wait that is aimed at. */
const react = ({ permits, queued, runTime, running, waited }: Sample, wait: number): Want => {
  if (queued === 0) return { permits: running, reason: "" }
  const more = runTime === undefined ? queued : Math.max(1, Math.ceil((queued * runTime) / wait))
  // A mean says little about the one task that holds up the line.
  const least = waited > wait ? permits + 1 : 0
  return {
    permits: Math.max(least, running + Math.min(queued, more)),
    reason: `${queued} wait, the first of them for ${seconds(waited)}`
  }
}

const predict = ({ runTime }: Sample, forecast: Forecast.Forecast): Want => {
  const rate = Forecast.ahead(forecast, horizon)
  const needed = runTime === undefined ? 0 : Math.ceil((rate * runTime) / 1_000)
  return {
    permits: needed,
    reason: `${Math.round(rate * 10) / 10} tasks a second are expected, of ${seconds(runTime ?? 0)} each`
  }
}

export const planScale = (memory: Memory, sample: Sample, scaling: Scaling, { max, min }: Bounds): Plan => {
  const { at, permits } = sample
  const forecast = Forecast.observe(memory.forecast, at, sample.arrived)
  const now = react(sample, scaling.wait)
  const soon = scaling.mode === "predictive" ? predict(sample, forecast) : now
  const want = soon.permits > now.permits ? soon : now
  const wanted = Math.min(max, Math.max(min, want.permits))
  const sinceChange = at - memory.changedAt

  const isBand = wanted <= permits - Math.max(1, Math.ceil(permits / 4))
  const calmSince = isBand ? (memory.calmSince ?? at) : undefined
  const peak = isBand ? Math.max(memory.calmSince === undefined ? 0 : memory.peak, wanted) : 0
  const next: Memory = { ...memory, forecast, calmSince, peak }
  const change = (to: number, direction: -1 | 1, reason: string): Plan => ({
    memory: { ...next, direction, changedAt: at },
    step: { to, reason }
  })

  if (permits < min || permits > max) {
    const to = Math.min(max, Math.max(min, permits))
    return change(to, to > permits ? 1 : -1, "its bounds have changed")
  }
  if (wanted > permits) {
    const isOverloaded = sample.cpu >= limits.cpu || sample.eventLoopDelay >= limits.eventLoopDelay
    const isTooSoon = memory.direction === -1 && sinceChange < scaling.cooldown
    if (isOverloaded || isTooSoon) return { memory: next }
    return change(Math.min(wanted, permits + scaling.step), 1, want.reason)
  }
  if (calmSince !== undefined && at - calmSince >= scaling.cooldown) {
    if (memory.direction === 1 && sinceChange < scaling.cooldown) return { memory: next }
    const to = Math.max(peak, permits - scaling.step)
    if (to < permits) return change(to, -1, `at most ${peak} were needed in the last ${seconds(at - calmSince)}`)
  }
  return { memory: next }
}

/** Permits that are open so long after the start: from `min` to `permits`, evenly. */
export const planWarmUp = (since: number, warmUp: number, min: number, permits: number): number =>
  since >= warmUp ? permits : min + Math.floor(((permits - min) * since) / warmUp)
