/**
 * Makes ends durable that were decided for workers that hold no permit: cancelled in the queue, waited too long, cut
 * off by a crash. All that are decided when it looks go into one append. While the journal refuses, those who wait are
 * told so and the ends stay decided; an end is never told before it is durable.
 */
import { Effect } from "effect"
import type { End, Entry } from "./PoolEntry.ts"
import type { PoolState } from "./PoolState.ts"
import { patiently, type WorkerRecords } from "./WorkerRecords.ts"

/** Ends in one append at most: keeps a single transaction short. */
const batch = 256

export const settler = (state: PoolState, records: WorkerRecords): Effect.Effect<never> => {
  const write = (ends: ReadonlyArray<readonly [Entry, End]>) =>
    records.record(ends.map(([entry, end]) => ({ entry, events: [end] }))).pipe(
      Effect.andThen(
        Effect.sync(() => {
          for (const [entry, end] of ends) state.settled(entry, end)
        })
      ),
      Effect.uninterruptible,
      Effect.tapError((error) =>
        Effect.andThen(
          Effect.sync(() => {
            for (const [entry] of ends) state.tellRefusal(entry, error)
          }),
          Effect.logWarning(`${ends.length} workers have ended and the journal refuses to note it; trying again`, error)
        )
      )
    )

  /** A defect of the journal over one stream must not hold up the others, nor bring the pool down again and again. */
  const writeEach = (ends: ReadonlyArray<readonly [Entry, End]>) =>
    Effect.forEach(
      ends,
      ([entry, end]) =>
        Effect.catchDefect(write([[entry, end]]), (defect) =>
          Effect.andThen(
            Effect.sync(() => state.settled(entry, end)),
            Effect.logError(`the end of ${entry.id} cannot be journaled; recovery looks at it again`, defect)
          )
        ),
      { discard: true }
    )

  // Looks afresh at each try: a batch may have been written in part, one by one.
  const settleSome = Effect.suspend(() => {
    const ends = [...state.unsettled.entries().take(batch)]
    return Effect.catchDefect(write(ends), () => writeEach(ends))
  })

  // Refusals are retried for as long as it takes, so none is left.
  const settle = Effect.gen(function* () {
    while (state.unsettled.size > 0) yield* Effect.orDie(Effect.retry(settleSome, patiently))
    state.toSettle.closeUnsafe()
  })

  return Effect.forever(Effect.andThen(state.toSettle.await, settle))
}
