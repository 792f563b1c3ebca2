/**
 * Journals what a tool reports, beside the tool: a report costs the tool no waiting for the disk. A new stage is
 * written at once, the rest at most every 100 ms, always the newest; what is left is written with the worker's end.
 */
import { Effect, Latch } from "effect"
import type { Report } from "../../services/worker/ProgressReports.ts"
import type { WorkerEvent } from "../../services/worker/WorkerEvent.ts"
import type { Entry } from "./PoolEntry.ts"
import type { PoolState } from "./PoolState.ts"
import type { Events, WorkerRecords } from "./WorkerRecords.ts"

/** Milliseconds between two entries of one stage. */
const interval = 100

export const progressEvent = ({ percent, stage }: Report): WorkerEvent => ({ _tag: "WorkerProgress", percent, stage })

const isFilled = (events: ReadonlyArray<WorkerEvent>): events is Events => events.length > 0

export const makeScribe = (state: PoolState, entry: Entry, records: WorkerRecords) => {
  const some = Latch.makeUnsafe(false)
  const urgent = Latch.makeUnsafe(false)

  const flush = Effect.suspend(() => {
    const reports = entry.reports.take()
    const events = reports.map(progressEvent)
    if (!isFilled(events)) return Effect.void
    return Effect.tapError(records.record([{ entry, events }]), () => Effect.sync(() => entry.reports.putBack(reports)))
  })

  const run = Effect.gen(function* () {
    let writtenAt = -Infinity
    while (true) {
      yield* some.await
      const pause = writtenAt + interval - state.now
      if (pause > 0) yield* Effect.timeoutOption(urgent.await, pause)
      some.closeUnsafe()
      urgent.closeUnsafe()
      // Progress is a courtesy: a store that refuses it stops no tool. The reports are kept for the next attempt.
      yield* flush.pipe(
        Effect.catch((error) => Effect.logDebug(`progress of worker ${entry.id} waits for the journal`, error))
      )
      writtenAt = state.now
    }
  })

  return {
    note: (percent: number, stage: string) => {
      const urgency = entry.reports.report(percent, stage)
      if (urgency === "now") urgent.openUnsafe()
      if (urgency !== "never") some.openUnsafe()
    },
    run
  }
}
