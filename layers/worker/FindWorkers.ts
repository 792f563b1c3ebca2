/**
 * Looks workers up: the live ones in memory, the ended ones in the journal.
 *
 * Queued and running workers are all in memory, so asking for these reads nothing. The rest is found by the session
 * that a head belongs to and the status that it is labelled with, so a listing costs what it shows, whatever is stored.
 */
import { Effect, Option } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import type { Journal } from "../../services/journal/Journal.ts"
import { summarize, type WorkerSummary } from "../../services/worker/Worker.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import { type ListWorkers, WorkerNotFound } from "../../services/worker/WorkerPool.ts"
import { view } from "./PoolEntry.ts"
import type { PoolState } from "./PoolState.ts"
import { decodeSummary, page, prefix, readWorker } from "./RecoverWorkers.ts"

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
    const found: Array<WorkerSummary> = []
    let cursor = before === undefined ? undefined : Topic.ofWorker(before)
    while (found.length < limit) {
      const size = Math.min(limit - found.length, page)
      const heads = yield* journal.heads({ prefix, owner: sessionId, label: status, before: cursor, limit: size })
      for (const head of heads) {
        const stored = Option.getOrUndefined(decodeSummary(head.summary))
        if (stored === undefined) continue
        const entry = state.live.get(stored.id)
        found.push(entry === undefined ? stored : summarize(view(entry)))
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
