/** One of the named pools: its schedule, how it is set, and what it has counted. */
import { SessionId } from "../../services/session/SessionId.ts"
import type { ResizedBy } from "../../services/worker/PoolEvent.ts"
import type { PoolLimits } from "../../services/worker/PoolLimits.ts"
import type { NamedPool, PoolMode, ScalingStep } from "../../services/worker/PoolStatus.ts"
import { RecentWaits } from "../../services/worker/RecentWaits.ts"
import type { Share as Queued } from "../../services/worker/FairQueue.ts"
import { Schedule } from "../../services/worker/Schedule.ts"
import { sessionOf } from "../../services/worker/Ticket.ts"

/** Changes of size that are remembered. */
const maxHistory = 50
/** Sessions that a status shows. */
const maxShown = 20
/** How much the newest run counts in the mean. */
const weightOfNewest = 0.2

/** `A` is what waits in it. */
export class PoolPart<A extends { readonly waitsSince: number }> {
  readonly schedule: Schedule<A>
  mode: PoolMode = "open"
  min: number
  max: number
  completed = 0
  failed = 0
  cancelled = 0
  refused = 0
  timedOut = 0
  /** Whether it was told that a drain has come to its end. */
  isDrained = false
  /** Tasks accepted, with those that a former process left. */
  arrived = 0
  /** Milliseconds that a task runs, as a moving mean. */
  runTime: number | undefined
  /** Whether it has opened all its permits since the start. */
  isWarm: boolean
  readonly waits = new RecentWaits()
  readonly history: Array<ScalingStep> = []

  readonly name: string
  readonly limits: PoolLimits

  constructor(name: string, limits: PoolLimits, onGrant: (entry: A) => void) {
    this.name = name
    this.limits = limits
    this.min = limits.min
    this.max = limits.max
    this.isWarm = limits.warmUp <= 0 || limits.min === limits.permits
    this.schedule = new Schedule({ ...limits, permits: this.isWarm ? limits.permits : limits.min, onGrant })
  }

  get isIdle(): boolean {
    const { queued, reserved, running } = this.schedule
    return running === 0 && queued === 0 && reserved === 0
  }

  /** Sets the permits and remembers why. */
  resize(to: number, by: ResizedBy, reason: string, at: number): ScalingStep {
    const step: ScalingStep = { at, from: this.schedule.permits, to, by, reason }
    this.schedule.resize(to)
    this.history.push(step)
    if (this.history.length > maxHistory) this.history.shift()
    return step
  }

  ran(milliseconds: number) {
    this.runTime =
      this.runTime === undefined ? milliseconds : this.runTime + weightOfNewest * (milliseconds - this.runTime)
  }

  /** How long until a place is likely to be free. */
  get retryAfter(): number {
    return Math.ceil(Math.min(Math.max(1_000, this.runTime ?? 0), Math.max(1_000, this.limits.patience)))
  }

  status(now: number): NamedPool {
    const { limits, schedule } = this
    const [p50 = 0, p99 = 0] = this.waits.quantiles(0.5, 0.99)
    const { sessionCount, sessions } = heaviest(limits.apart ? together(schedule.sessions()) : schedule.sessions())
    return {
      name: this.name,
      mode: this.mode,
      permits: schedule.permits,
      running: schedule.running,
      queued: schedule.queued,
      capacity: limits.capacity,
      patience: limits.patience,
      completed: this.completed,
      failed: this.failed,
      cancelled: this.cancelled,
      refused: this.refused,
      min: this.min,
      max: this.max,
      overflow: limits.overflow,
      overflowAbove: limits.overflowAbove,
      timedOut: this.timedOut,
      waits: { p50, p99, now: this.waited(now) },
      ...(this.runTime !== undefined && { runTime: this.runTime }),
      sessions,
      sessionCount,
      scaling: [...this.history]
    }
  }

  /** Milliseconds that the first in line has waited. */
  waited(now: number): number {
    const first = this.schedule.nextToExpire?.value
    return first === undefined ? 0 : now - first.waitsSince
  }
}

type Share = Queued & { readonly session: string }

/** What a session has in all its lines. */
const together = (lines: Iterable<Share>): Iterable<Share> => {
  const shares = new Map<string, Share>()
  for (const { queued, running, session: line } of lines) {
    const session = sessionOf(line)
    const other = shares.get(session)
    shares.set(session, {
      session,
      queued: queued + (other?.queued ?? 0),
      running: running + (other?.running ?? 0)
    })
  }
  return shares.values()
}

/** The sessions with most tasks, in one pass. */
const heaviest = (all: Iterable<Share>) => {
  const found: Array<NamedPool["sessions"][number]> = []
  let sessionCount = 0
  for (const { queued, running, session } of all) {
    sessionCount++
    const last = found.at(-1)
    if (found.length === maxShown && last !== undefined && last.queued + last.running >= queued + running) continue
    const at = found.findIndex((other) => other.queued + other.running < queued + running)
    found.splice(at < 0 ? found.length : at, 0, { sessionId: SessionId.make(session), running, queued })
    if (found.length > maxShown) found.pop()
  }
  return { sessions: found, sessionCount }
}
