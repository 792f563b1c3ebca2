/**
 * What a pool may be told: how many run, how many wait and for how long, what one session or one kind of agent may
 * have, and whether it grows and shrinks by itself.
 */
import { Duration, Schema } from "effect"
import type { InputIssue } from "../InvalidInput.ts"
import type { Quota } from "./Schedule.ts"

/** The pool that a tool runs on when it names none; there always is one. */
export const defaultPool = "tools"

/** The pool of the tools of MCP servers. */
export const mcpPool = "mcp"

export const PoolName = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9_-]{0,31}$/, {
    message: "a name of a pool: lower case letters, digits, - and _, at most 32 of them"
  })
)

/** What one session, or all tasks of one key, may have of a pool; what is not given is not limited. */
export interface QuotaOptions {
  /** Tasks that run at a time: further ones wait. */
  readonly running?: number | undefined
  /** Tasks that wait: further ones are refused. */
  readonly queued?: number | undefined
  /** Tasks accepted in a minute, as many at once: further ones are refused. */
  readonly perMinute?: number | undefined
}

export interface ScalingOptions {
  /** `reactive` looks at what waits now (default); `predictive` also at what the recorded load says will come. */
  readonly mode?: "reactive" | "predictive" | undefined
  /** How long a task should wait at most (default 2 seconds). */
  readonly wait?: Duration.Input | undefined
  /** How long it must have been calm before the pool shrinks, and the least between growing and shrinking (default 30 seconds). */
  readonly cooldown?: Duration.Input | undefined
  /** Permits by which it changes in a second (default: a quarter of the way from `min` to `max`). */
  readonly step?: number | undefined
}

export interface PoolOptions {
  /** Workers that run at a time, to begin with (default 3). */
  readonly permits?: number | undefined
  /** The pool scales itself between these, if `min` is below `max` (default: both are `permits`). */
  readonly min?: number | undefined
  readonly max?: number | undefined
  /** Permits beyond that, each for one task, while more than `overflowAbove` wait (default 0). */
  readonly overflow?: number | undefined
  /** Default: half of `queue`. */
  readonly overflowAbove?: number | undefined
  /** Tasks that may wait (default 50). */
  readonly queue?: number | undefined
  /** How long a task may wait before it fails without having started (default 30 seconds). */
  readonly patience?: Duration.Input | undefined
  /** Time in which the pool opens from `min` to `permits` after a start (default 0: at once). */
  readonly warmUp?: Duration.Input | undefined
  readonly perSession?: QuotaOptions | undefined
  readonly perKey?: QuotaOptions | undefined
  /**
   * A session takes turns for each key of its tasks, and quotas per session are for each of them: a key that is held back
   * holds up no other (default no).
   */
  readonly apart?: boolean | undefined
  /** Turns in a row for the sessions of a key, where others get one (1 to 100). */
  readonly weights?: Readonly<Record<string, number>> | undefined
  readonly scaling?: ScalingOptions | undefined
}

export interface PoolQuota extends Quota {
  readonly perMinute: number
}

/** The same as it is obeyed: nothing left open, times in milliseconds. */
export interface PoolLimits {
  readonly permits: number
  readonly min: number
  readonly max: number
  readonly overflow: number
  readonly overflowAbove: number
  readonly capacity: number
  readonly patience: number
  readonly warmUp: number
  readonly perSession: PoolQuota
  readonly perKey: PoolQuota
  readonly apart: boolean
  readonly weights: ReadonlyMap<string, number>
  readonly scaling: Scaling
}

export interface Scaling {
  readonly mode: "reactive" | "predictive"
  /** Milliseconds. */
  readonly wait: number
  readonly cooldown: number
  readonly step: number
}

export const maxPermits = 256
const maxQueue = 100_000
const maxPools = 32

const quota = Schema.Struct({
  running: Schema.optionalKey(Schema.Finite),
  queued: Schema.optionalKey(Schema.Finite),
  perMinute: Schema.optionalKey(Schema.Finite)
})

/** Pools by name, as a configuration file writes them; whether the numbers fit is for `resolvePools` to say. */
export const PoolsConfig = Schema.Record(
  Schema.String,
  Schema.Struct({
    permits: Schema.optionalKey(Schema.Finite),
    min: Schema.optionalKey(Schema.Finite),
    max: Schema.optionalKey(Schema.Finite),
    overflow: Schema.optionalKey(Schema.Finite),
    overflowAbove: Schema.optionalKey(Schema.Finite),
    queue: Schema.optionalKey(Schema.Finite),
    patience: Schema.optionalKey(Schema.DurationFromString),
    warmUp: Schema.optionalKey(Schema.DurationFromString),
    perSession: Schema.optionalKey(quota),
    perKey: Schema.optionalKey(quota),
    apart: Schema.optionalKey(Schema.Boolean),
    weights: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite)),
    scaling: Schema.optionalKey(
      Schema.Struct({
        mode: Schema.optionalKey(Schema.Literals(["reactive", "predictive"])),
        wait: Schema.optionalKey(Schema.DurationFromString),
        cooldown: Schema.optionalKey(Schema.DurationFromString),
        step: Schema.optionalKey(Schema.Finite)
      })
    )
  })
)

/** Whole and finite, as the journal keeps it. */
export const milliseconds = (duration: Duration.Input): number =>
  Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(Duration.toMillis(duration)))

/** Looks at numbers one by one and remembers which do not fit. */
class Check {
  readonly issues: Array<InputIssue> = []
  private readonly at: string

  constructor(at: string) {
    this.at = at
  }

  whole(path: string, value: number, minimum: number, maximum: number): number {
    if (!Number.isSafeInteger(value) || value < minimum || value > maximum) {
      this.refuse(path, `a whole number from ${minimum} to ${maximum}`)
    }
    return value
  }

  quota(path: string, { perMinute, queued, running }: QuotaOptions = {}): PoolQuota {
    if (running !== undefined) this.whole(`${path}.running`, running, 1, maxPermits)
    if (queued !== undefined) this.whole(`${path}.queued`, queued, 0, maxQueue)
    if (perMinute !== undefined) this.whole(`${path}.perMinute`, perMinute, 1, 1_000_000)
    return { running: running ?? Infinity, queued: queued ?? Infinity, perMinute: perMinute ?? Infinity }
  }

  refuse(path: string, message: string) {
    this.issues.push({ path: `${this.at}.${path}`, message })
  }
}

export const resolvePool = (
  name: string,
  options: PoolOptions = {}
): { readonly limits: PoolLimits; readonly issues: ReadonlyArray<InputIssue> } => {
  const check = new Check(name)
  const permits = check.whole("permits", options.permits ?? 3, 1, maxPermits)
  const min = check.whole("min", options.min ?? permits, 1, maxPermits)
  const max = check.whole("max", options.max ?? Math.max(min, permits), 1, maxPermits)
  if (min > permits || permits > max) {
    check.refuse("permits", `min (${min}), permits (${permits}) and max (${max}) must be in this order`)
  }
  const capacity = check.whole("queue", options.queue ?? 50, 0, maxQueue)
  const { cooldown = "30 seconds", mode = "reactive", step, wait = "2 seconds" } = options.scaling ?? {}
  const weights = Object.entries(options.weights ?? {})
  for (const [key, weight] of weights) check.whole(`weights.${key}`, weight, 1, 100)
  if (milliseconds(cooldown) < 1_000) check.refuse("scaling.cooldown", "at least 1 second")
  if (milliseconds(wait) < 1) check.refuse("scaling.wait", "at least 1 millisecond")
  const limits: PoolLimits = {
    permits,
    min,
    max,
    overflow: check.whole("overflow", options.overflow ?? 0, 0, maxPermits),
    overflowAbove: check.whole("overflowAbove", options.overflowAbove ?? Math.floor(capacity / 2), 0, maxQueue),
    capacity,
    patience: milliseconds(options.patience ?? "30 seconds"),
    warmUp: milliseconds(options.warmUp ?? 0),
    perSession: check.quota("perSession", options.perSession),
    perKey: check.quota("perKey", options.perKey),
    apart: options.apart ?? false,
    weights: new Map(weights),
    scaling: {
      mode,
      wait: milliseconds(wait),
      cooldown: milliseconds(cooldown),
      step: check.whole("scaling.step", step ?? Math.max(1, Math.ceil((max - min) / 4)), 1, maxPermits)
    }
  }
  return { limits, issues: check.issues }
}

export type Pools = Readonly<Record<string, PoolOptions | undefined>>

/** The pools there are to be, `tools` first, and all that is wrong with what was asked for. */
export const resolvePools = (pools: Pools) => {
  const names = [defaultPool, ...Object.keys(pools).filter((name) => name !== defaultPool)]
  const all = names.map((name) => ({ name, ...resolvePool(name, pools[name]) }))
  const isName = Schema.is(PoolName)
  const issues = all.flatMap(({ issues, name }) =>
    isName(name) ? issues : [{ path: name, message: "a pool is named in lower case letters, digits, - and _" }]
  )
  if (names.length > maxPools) issues.push({ path: "", message: `at most ${maxPools} pools` })
  return { pools: new Map(all.map(({ limits, name }) => [name, limits])), issues }
}
