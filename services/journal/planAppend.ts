/** What an append will write: events with their places, and the heads that follow. Every journal decides it here. */
import { Result } from "effect"
import type { Recorded } from "../events/RuntimeEvent.ts"
import type { Topic } from "../events/Topic.ts"
import type { Append, Snapshot, StreamHead } from "./Journal.ts"
import { SequenceMismatch } from "./SequenceMismatch.ts"

export interface AppendPlan {
  readonly recorded: ReadonlyArray<Recorded>
  /** One for each stream; `owner` is that of its first append in the plan. */
  readonly heads: Iterable<PlannedHead>
  /** The newest of each stream that has one. */
  readonly snapshots: ReadonlyMap<Topic, Snapshot>
}

export type PlannedHead = Omit<StreamHead, "earliest">

/** `sequenceOf` tells a stream's last sequence (0 when it is new); `at` is the time to stamp. */
export const planAppend = (
  appends: ReadonlyArray<Append>,
  sequenceOf: (stream: Topic) => number,
  at: number
): Result.Result<AppendPlan, SequenceMismatch> => {
  const recorded: Array<Recorded> = []
  const heads = new Map<Topic, PlannedHead>()
  const snapshots = new Map<Topic, Snapshot>()
  for (const { after, events, label, open, owner, snapshot, stream, summary } of appends) {
    const former = heads.get(stream)
    const last = former?.sequence ?? sequenceOf(stream)
    if (last !== after) return Result.fail(new SequenceMismatch({ stream, after, sequence: last }))
    let sequence = after
    for (const event of events) recorded.push({ topic: stream, sequence: ++sequence, at, event })
    heads.set(stream, { stream, sequence, open, summary, owner: former?.owner ?? owner, label })
    if (snapshot !== undefined && after > 0) snapshots.set(stream, { ...snapshot, sequence: after })
  }
  return Result.succeed({ recorded, heads: heads.values(), snapshots })
}
