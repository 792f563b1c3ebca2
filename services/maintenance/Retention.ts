/**
 * What may be let go of once it is old: by default nothing is. A worker goes when it has ended and its session has no
 * business left with it; a session goes when it has ended, with its workers. What is open is never old.
 */
import { type Duration, Option, Schema } from "effect"
import type { StreamHead } from "../journal/Journal.ts"
import { SessionSummary } from "../session/Session.ts"
import { WorkerSummary } from "../worker/Worker.ts"

export interface Retention {
  /** Ended workers are kept for so long after their end. Absent: for ever. */
  readonly workers?: Duration.Input | undefined
  /** Ended sessions are kept for so long after their end, with their workers. Absent: for ever. */
  readonly sessions?: Duration.Input | undefined
  /** Events kept of a session, the newest ones, as far as it needs no older one. Absent: all. */
  readonly sessionEvents?: number | undefined
}

const decodeWorker = Schema.decodeUnknownOption(Schema.fromJsonString(WorkerSummary))
const decodeSession = Schema.decodeUnknownOption(Schema.fromJsonString(SessionSummary))

/** `young`: neither it nor any worker that was queued after it is due. */
export type WorkerAge =
  | { readonly _tag: "Kept" }
  | { readonly _tag: "Young" }
  | { readonly _tag: "Due"; readonly summary: WorkerSummary }

/** Whether a worker ended before `limit`, a Unix time in milliseconds. A head that cannot be read is kept. */
export const judgeWorker = (head: StreamHead, limit: number): WorkerAge => {
  const summary = Option.getOrUndefined(decodeWorker(head.summary))
  if (summary === undefined) return { _tag: "Kept" }
  if (summary.queuedAt >= limit) return { _tag: "Young" }
  const isDue = !head.open && summary.endedAt !== undefined && summary.endedAt < limit
  return isDue ? { _tag: "Due", summary } : { _tag: "Kept" }
}

/** Whether a session ended before `limit`, a Unix time in milliseconds. */
export const isSessionDue = (head: StreamHead, limit: number): boolean => {
  const summary = Option.getOrUndefined(decodeSession(head.summary))
  return !head.open && summary?.status === "ended" && summary.updatedAt < limit
}
