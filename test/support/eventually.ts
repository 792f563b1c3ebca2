import { Effect } from "effect"

/** Lets other fibers run until something holds, without a clock. */
export const eventually = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (let turn = 0; turn < 20_000; turn++) {
      if (holds()) return
      yield* Effect.yieldNow
    }
    yield* Effect.die(new Error(`never came true: ${what}`))
  })
