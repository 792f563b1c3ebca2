/** Children that write down what happens to them and end when a test says so. */
import { Deferred, Effect } from "effect"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"

export const makeProbe = () => {
  /** `+a`: a has initialised; `-a`: its finalizers have run. */
  const log: Array<string> = []
  const ends = new Map<string, Deferred.Deferred<unknown, unknown>>()

  const child = (id: string, options: Partial<ChildSpec> = {}): ChildSpec => ({
    id,
    start: Effect.gen(function* () {
      const end = yield* Deferred.make<unknown, unknown>()
      ends.set(id, end)
      log.push(`+${id}`)
      yield* Effect.addFinalizer(() => Effect.sync(() => log.push(`-${id}`)))
      return Deferred.await(end)
    }),
    ...options
  })

  const ending = (id: string, use: (end: Deferred.Deferred<unknown, unknown>) => Effect.Effect<unknown>) =>
    Effect.suspend(() => {
      const end = ends.get(id)
      return end === undefined ? Effect.die(new Error(`${id} was never started`)) : Effect.andThen(use(end), settle)
    })

  return {
    child,
    log,
    /** What happened since the last time. */
    news: () => log.splice(0).join(" "),
    crash: (id: string) => ending(id, (end) => Deferred.die(end, new Error(`${id} broke`))),
    fail: (id: string) => ending(id, (end) => Deferred.fail(end, `${id} failed`)),
    finish: (id: string, value?: unknown) => ending(id, (end) => Deferred.succeed(end, value))
  }
}

/** Lets every other fiber run until it waits. */
export const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })
