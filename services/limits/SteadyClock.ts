/** A clock whose time of day is monotonic time: for what measures how long something takes by the time of day. */
import { Clock, Effect } from "effect"

/** Whole milliseconds of monotonic time. */
export const steadyMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

const make = (clock: Clock.Clock): Clock.Clock => ({
  currentTimeMillisUnsafe: () => steadyMillis(clock),
  currentTimeMillis: Effect.sync(() => steadyMillis(clock)),
  currentTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
  currentTimeNanos: clock.monotonicTimeNanos,
  monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
  monotonicTimeNanos: clock.monotonicTimeNanos,
  sleep: (duration) => clock.sleep(duration)
})

const made = new WeakMap<Clock.Clock, Clock.Clock>()

/** One for each clock: whoever asks does so with every call. */
const steady = (clock: Clock.Clock): Clock.Clock => {
  let found = made.get(clock)
  if (found === undefined) made.set(clock, (found = make(clock)))
  return found
}

/** Runs an effect that reads the time of day so that nobody who puts the clock back or forward can mislead it. */
export const withSteadyClock = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateService(effect, Clock.Clock, steady)
