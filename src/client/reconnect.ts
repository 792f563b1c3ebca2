/** How long to wait before trying again: longer each time, never the same for all, short again once it has worked. */
import { Effect, Predicate, Random, Schedule } from "effect"

const first = 100
const longest = 5_000

export const delayOf = (failures: number, random: number): number =>
  Math.min(longest, first * 2 ** Math.min(failures, 16)) * (0.5 + random / 2)

export interface Reconnect {
  /** For ever. */
  readonly schedule: Schedule.Schedule<number, unknown>
  /** It has worked: the next failure is the first. */
  readonly worked: () => void
}

export const make = (): Reconnect => {
  let failures = 0
  const worked = () => {
    failures = 0
  }
  return {
    worked,
    schedule: Schedule.forever.pipe(
      Schedule.modifyDelay(() => Effect.map(Random.next, (random) => delayOf(failures++, random)))
    )
  }
}

/** For a socket that is opened again: one that broke had been open, unlike one that could not be opened. */
export const socketSchedule = Effect.sync(() => {
  const { schedule, worked } = make()
  return Schedule.while(schedule, ({ input }) => {
    const couldNotOpen = Predicate.hasProperty(input, "reason") && Predicate.isTagged(input.reason, "SocketOpenError")
    if (!couldNotOpen) worked()
    return true
  })
})
