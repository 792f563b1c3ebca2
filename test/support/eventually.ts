import { Effect, Schedule } from "effect"

/** Lets other fibers run until something holds, without a clock. */
export const eventually = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (let turn = 0; turn < 20_000; turn++) {
      if (holds()) return
      yield* Effect.yieldNow
    }
    yield* Effect.die(new Error(`never came true: ${what}`))
  })

/** Asks again and again, by the real clock, for fifteen seconds at most. */
export const inTime = <E, R>(what: string, holds: Effect.Effect<boolean, E, R>) =>
  holds.pipe(
    Effect.flatMap((yes) => (yes ? Effect.void : Effect.fail("not yet" as const))),
    Effect.retry(Schedule.spaced(20)),
    Effect.timeoutOrElse({ duration: "15 seconds", orElse: () => Effect.die(new Error(`never came true: ${what}`)) })
  )
