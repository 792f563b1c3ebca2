/** `generate_report`: what a session did, read from the journal, so ended sessions and other servers' are no different. */
import { Clock, Effect, Option, Schema } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import { SessionNotFound } from "../../services/session/SessionManager.ts"
import {
  GenerateReport,
  type SessionReport as Report,
  SessionReport,
  type WorkerUse
} from "../../services/tools/SessionReport.ts"
import * as SessionSnapshot from "../../services/session/SessionSnapshot.ts"
import * as SessionActivity from "../../services/tools/sessionActivity.ts"
import { render } from "../../services/tools/renderSessionReport.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { WorkerSummary } from "../../services/worker/Worker.ts"

const page = 1_000

const codes: Readonly<Record<StorageError["_tag"], string>> = {
  StorageFull: "storage_full",
  StorageUnavailable: "storage_unavailable",
  StorageCorrupt: "storage_corrupt"
}

const storageFailure = (error: StorageError) =>
  new Tool.ToolFailure({ code: codes[error._tag], message: error.message })

const decodeSummary = Schema.decodeUnknownOption(Schema.fromJsonString(WorkerSummary))

/** As far as the worker's head tells; one that cannot be read is known by the session's words alone. */
const describe = (
  { tool, workerId }: SessionActivity.Activity["workers"][number],
  summary: WorkerSummary | undefined,
  now: number
): WorkerUse => {
  if (summary === undefined) return { workerId, tool, status: "queued", attempts: 0 }
  const { attempt, endedAt, queuedAt, startedAt, status } = summary
  return {
    workerId,
    tool,
    status,
    attempts: attempt,
    waited: Math.max(0, (startedAt ?? endedAt ?? now) - queuedAt),
    ...(startedAt !== undefined && { worked: Math.max(0, (endedAt ?? now) - startedAt) })
  }
}

export const make = Effect.gen(function* () {
  const journal = yield* Journal
  return yield* Tool.make({
    name: "generate_report",
    description:
      "Reports what a session did: messages, turns, tools, workers, durations and failures, with a Markdown report.",
    parameters: GenerateReport,
    result: SessionReport,
    weight: "fast",
    idempotent: true,
    classes: ["read"],
    run: Effect.fn("generate_report")(function* ({ sessionId }) {
      const stream = Topic.ofSession(sessionId)
      const activity = SessionActivity.empty()
      let after = 0
      while (true) {
        const events = yield* journal.read({ stream, after, limit: page }).pipe(Effect.mapError(storageFailure))
        const first = events[0]?.sequence ?? after + 1
        // What is no longer kept is known by the figures that the session kept of it.
        if (first > after + 1) {
          const skipped = yield* journal.snapshot(stream).pipe(Effect.mapError(storageFailure))
          SessionActivity.skip(activity, first - after - 1, skipped && SessionSnapshot.view(skipped))
        }
        for (const event of events) SessionActivity.add(activity, event)
        if (events.length < page) break
        after = events.at(-1)?.sequence ?? after
        yield* Effect.yieldNow
      }
      if (activity.events === 0) {
        return yield* new Tool.ToolFailure({
          code: "session_not_found",
          message: new SessionNotFound({ sessionId }).message
        })
      }
      const now = yield* Clock.currentTimeMillis
      const workers = yield* Effect.forEach(activity.workers, (worker) =>
        journal.head(Topic.ofWorker(worker.workerId)).pipe(
          Effect.mapError(storageFailure),
          Effect.map((head) => describe(worker, Option.getOrUndefined(decodeSummary(head?.summary)), now))
        )
      )
      const { endReason, endedAt, lastEventAt, messages, startedAt, turns } = activity
      const findings: Omit<Report, "report"> = {
        sessionId,
        title: activity.title,
        agentType: activity.agentType,
        startedAt,
        ...(endedAt !== undefined && { endedAt }),
        lastEventAt,
        events: activity.events,
        ...(activity.notKept > 0 && { notKept: activity.notKept }),
        messages,
        turns,
        tools: [...activity.tools.values()],
        workerCount: activity.workerCount,
        workers,
        failureCount: activity.failureCount,
        failures: activity.failures
      }
      return { ...findings, report: render({ ...findings, endReason, said: activity.said }) }
    })
  })
})
