/**
 * What a running worker has reported and what of it is still to be journaled.
 *
 * A tool may report as often as it likes: reports of one stage melt into the newest, and each new stage is kept. The
 * percentage lies between 0 and 100 and never falls.
 */

export interface Report {
  readonly percent: number
  readonly stage: string
}

/** What a report calls for: to be journaled now, some time soon, or not at all. */
export type Urgency = "now" | "soon" | "never"

/** Stages kept for one append; of a tool that changes its stage faster than the disk writes, the last ones melt. */
const maxPending = 64
/** Longest name of a stage, in characters. */
const maxStage = 200

export class ProgressReports {
  percent = 0
  stage = ""
  private pending: Array<Report> = []

  report(percent: number, stage: string): Urgency {
    const reached = Number.isFinite(percent) ? Math.min(100, Math.max(this.percent, percent)) : this.percent
    const named = stage.slice(0, maxStage)
    const isNewStage = named !== this.stage
    if (!isNewStage && reached === this.percent) return "never"
    this.percent = reached
    this.stage = named
    const last = this.pending.at(-1)
    if (last !== undefined && (!isNewStage || this.pending.length >= maxPending)) this.pending.pop()
    this.pending.push({ percent: reached, stage: named })
    return isNewStage ? "now" : "soon"
  }

  /** Hands over what is to be journaled. */
  take(): ReadonlyArray<Report> {
    const reports = this.pending
    this.pending = []
    return reports
  }

  /** Takes back what could not be journaled, except where newer reports have replaced it. */
  putBack(reports: ReadonlyArray<Report>) {
    const merged = [...reports.filter(({ stage }) => stage !== this.pending[0]?.stage), ...this.pending]
    this.pending = merged.slice(-maxPending)
  }
}
