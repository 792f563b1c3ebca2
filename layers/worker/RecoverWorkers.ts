/**
 * Takes in, at the start of the process, what a former one left open. Costs as much as is open, whatever is stored.
 *
 * Accepted work is never refused, so what comes back may exceed the queue's capacity; nothing new is admitted until
 * there is room again.
 */
import { Effect, Option, Schema } from "effect"
import type { Topic } from "../../services/events/Topic.ts"
import type { Journal, StreamHead } from "../../services/journal/Journal.ts"
import { type Worker, WorkerSummary } from "../../services/worker/Worker.ts"
import * as Failures from "../../services/worker/WorkerFailures.ts"
import type { PoolState } from "./PoolState.ts"

/** Heads read at a time. */
export const page = 500
/** Streams read at a time. */
const concurrency = 16

export const prefix = "worker:"

export const decodeSummary = Schema.decodeUnknownOption(Schema.fromJsonString(WorkerSummary))

/** A worker that is not in memory, from its head, its first event and, when it has ended, its last. */
export const readWorker = Effect.fnUntraced(function* (journal: Journal["Service"], head: StreamHead) {
  const summary = Option.getOrUndefined(decodeSummary(head.summary))
  const [first] = yield* journal.read({ stream: head.stream, after: 0, limit: 1 })
  if (summary === undefined || first?.event._tag !== "WorkerQueued") return undefined
  const worker: Worker = { ...summary, args: first.event.args, sequence: head.sequence }
  if (worker.status !== "completed") return worker
  const [last] = yield* journal.read({ stream: head.stream, after: head.sequence - 1, limit: 1 })
  return last?.event._tag === "WorkerCompleted" ? { ...worker, result: last.event.result } : worker
})

export const recover = Effect.fnUntraced(function* (state: PoolState, journal: Journal["Service"]) {
  const heads: Array<StreamHead> = []
  let before: Topic | undefined
  while (true) {
    const some = yield* journal.heads({ prefix, open: true, before, limit: page })
    heads.push(...some)
    before = some.at(-1)?.stream
    if (some.length < page) break
  }
  const found = yield* Effect.forEach(
    heads.toReversed(),
    (head) => Effect.map(readWorker(journal, head), (worker) => ({ head, worker })),
    { concurrency }
  )
  const waiting: Array<() => void> = []
  for (const { head, worker } of found) {
    if (worker === undefined) {
      yield* Effect.logError(`${head.stream} cannot be read and is left as it is`)
    } else if (worker.status === "running" && worker.idempotent) {
      // Before all that has not been started yet.
      state.recover(worker, head.stream)
    } else if (worker.status === "running") {
      state.recoverEnded(worker, head.stream, { _tag: "WorkerFailed", failure: Failures.interrupted })
    } else if (worker.status === "queued") {
      waiting.push(() => state.recover(worker, head.stream))
    }
  }
  // Who is first among these is told by priority and turn, not by which was read first.
  for (const { schedule } of state.parts.values()) schedule.pause()
  for (const enqueue of waiting) enqueue()
  for (const { schedule } of state.parts.values()) schedule.resume()
  if (heads.length > 0) yield* Effect.logInfo(`${heads.length} workers were left open and are taken up again`)
})
