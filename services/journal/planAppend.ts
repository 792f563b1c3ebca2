/** What an append will write: events with their places, and the heads that follow. Every journal decides it here. */
import { Result } from "effect"
import type { Recorded } from "../events/RuntimeEvent.ts"
import type { Topic } from "../events/Topic.ts"
import type { Append, StreamHead } from "./Journal.ts"
import { SequenceMismatch } from "./SequenceMismatch.ts"

export interface AppendPlan {
  readonly recorded: ReadonlyArray<Recorded>
  /** One for each stream. */
  readonly heads: Iterable<StreamHead>
}

/** `sequenceOf` tells a stream's last sequence (0 when it is new); `at` is the time to stamp. */
export const planAppend = (
  appends: ReadonlyArray<Append>,
  sequenceOf: (stream: Topic) => number,
  at: number
): Result.Result<AppendPlan, SequenceMismatch> => {
  const recorded: Array<Recorded> = []
  const heads = new Map<Topic, StreamHead>()
  for (const { after, events, open, stream, summary } of appends) {
    const last = heads.get(stream)?.sequence ?? sequenceOf(stream)
    if (last !== after) return Result.fail(new SequenceMismatch({ stream, after, sequence: last }))
    let sequence = after
    for (const event of events) recorded.push({ topic: stream, sequence: ++sequence, at, event })
    heads.set(stream, { stream, sequence, open, summary })
  }
  return Result.succeed({ recorded, heads: heads.values() })
}
