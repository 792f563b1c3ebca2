/**
 * What supervisors count: a part of their interface, described in docs/supervision.md. Without the ids of children, so
 * that there are as many series whatever runs.
 */
import { type Context, Metric } from "effect"
import type { ExitReason } from "../../services/supervision/SupervisionEvent.ts"

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })

const started = counter("espalier_supervision_started_total", "Children started for the first time")
const restarted = counter("espalier_supervision_restarted_total", "Children started again")
const startFailed = counter("espalier_supervision_start_failed_total", "Starts that failed, restarts among them")
const gaveUp = counter("espalier_supervision_gave_up_total", "Supervisors that gave up, or gave a child up")
const exited = counter("espalier_supervision_exited_total", "Children that ended by themselves, by reason")
const terminated = counter("espalier_supervision_terminated_total", "Children that were stopped, by reason")
const children = Metric.gauge("espalier_supervision_children", { description: "Children that run now" })

type Reasons = Readonly<Record<ExitReason["_tag"], typeof exited>>

const byReason = (metric: typeof exited): Reasons => ({
  Normal: Metric.withAttributes(metric, { reason: "normal" }),
  Shutdown: Metric.withAttributes(metric, { reason: "shutdown" }),
  Killed: Metric.withAttributes(metric, { reason: "killed" }),
  Failed: Metric.withAttributes(metric, { reason: "failed" })
})
const exitedBy = byReason(exited)
const terminatedBy = byReason(terminated)

/** Counts in the registry of the supervisor's own context. */
export const make = (context: Context.Context<never>) => ({
  started: () => started.updateUnsafe(1, context),
  restarted: () => restarted.updateUnsafe(1, context),
  startFailed: () => startFailed.updateUnsafe(1, context),
  gaveUp: () => gaveUp.updateUnsafe(1, context),
  exited: (reason: ExitReason) => exitedBy[reason._tag].updateUnsafe(1, context),
  terminated: (reason: ExitReason) => terminatedBy[reason._tag].updateUnsafe(1, context),
  children: (change: 1 | -1) => children.modifyUnsafe(change, context)
})

export type SupervisionMetrics = ReturnType<typeof make>
