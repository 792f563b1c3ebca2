/**
 * Looks workers up: the live ones in memory, the ended ones in the journal.
 *
 * Queued and running workers are all in memory, so asking for these reads nothing. A filter on anything else goes
 * through the newest heads, page by page, and stops at a bound: see `docs/pool.md` for what that costs.
 */
import { Effect, Option } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import type { Journal } from "../../services/journal/Journal.ts"
import { summarize, type WorkerSummary } from "../../services/worker/Worker.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import { type ListWorkers, WorkerNotFound } from "../../services/worker/WorkerPool.ts"
import { type PoolState, view } from "./PoolState.ts"
import { decodeSummary, page, prefix, readWorker } from "./RecoverWorkers.ts"

/** Heads that one filtered listing looks at, counted from where it begins. */
export const maxScanned = 10_000

export const make = (state: PoolState, journal: Journal["Service"]) => {
  const get = Effect.fnUntraced(function* (workerId: WorkerId) {
    const entry = state.live.get(workerId)
    if (entry !== undefined) return view(entry)
    const head = yield* journal.head(Topic.ofWorker(workerId))
    const worker = head === undefined ? undefined : yield* readWorker(journal, head)
    return worker ?? (yield* new WorkerNotFound({ workerId }))
  })

  const listLive = ({ before, limit, sessionId, status }: ListWorkers) =>
    Effect.sync(() => {
      const found: Array<WorkerSummary> = []
      for (const entry of state.live.values()) {
        if (sessionId !== undefined && entry.sessionId !== sessionId) continue
        if (before !== undefined && entry.id >= before) continue
        const summary = summarize(view(entry))
        if (summary.status === status) found.push(summary)
      }
      return found.sort((left, right) => (left.id < right.id ? 1 : -1)).slice(0, limit)
    })

  const listStored = Effect.fnUntraced(function* ({ before, limit, sessionId, status }: ListWorkers) {
    const isFiltered = sessionId !== undefined || status !== undefined
    const size = isFiltered ? page : limit
    const found: Array<WorkerSummary> = []
    let cursor = before === undefined ? undefined : Topic.ofWorker(before)
    for (let scanned = 0; scanned < maxScanned && found.length < limit; scanned += size) {
      const heads = yield* journal.heads({ prefix, before: cursor, limit: size })
      for (const head of heads) {
        // Summaries are our own JSON: one that does not hold the text cannot match, and need not be decoded.
        if (sessionId !== undefined && !head.summary.includes(sessionId)) continue
        if (status !== undefined && !head.summary.includes(status)) continue
        const stored = Option.getOrUndefined(decodeSummary(head.summary))
        if (stored === undefined) continue
        const entry = state.live.get(stored.id)
        const summary = entry === undefined ? stored : summarize(view(entry))
        if (sessionId !== undefined && summary.sessionId !== sessionId) continue
        if (status !== undefined && summary.status !== status) continue
        found.push(summary)
        if (found.length === limit) break
      }
      if (heads.length < size) break
      cursor = heads.at(-1)?.stream
    }
    return found
  })

  const list = (options: ListWorkers) =>
    options.status === "queued" || options.status === "running" ? listLive(options) : listStored(options)

  return { get, list }
}
