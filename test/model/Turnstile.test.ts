import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Random } from "effect"
import * as Turnstile from "../../layers/model/Turnstile.ts"

describe("a turnstile", () => {
  it.effect("lets so many in, in the order in which they came, and refuses beyond its line", () =>
    Effect.gen(function* () {
      const { enter } = Turnstile.make(1, 2)
      const seen: Array<string> = []
      const visit = (name: string) =>
        Effect.scoped(
          Effect.andThen(
            enter,
            Effect.andThen(
              Effect.sync(() => seen.push(name)),
              Effect.yieldNow
            )
          )
        )
      const fibers = yield* Effect.forEach(["a", "b", "c"], (name) =>
        Effect.forkChild(visit(name), { startImmediately: true })
      )
      const refusal = yield* Effect.flip(visit("d"))
      assert.strictEqual(refusal.waiting, 2)
      yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(seen, ["a", "b", "c"])
    })
  )

  it.effect("loses no place to those who give up, whenever they do", () =>
    Effect.gen(function* () {
      const { enter } = Turnstile.make(3, 1_000)
      let inside = 0
      let most = 0
      const stay = Effect.acquireRelease(
        Effect.sync(() => {
          most = Math.max(most, ++inside)
        }),
        () => Effect.sync(() => inside--)
      )
      const pause = Effect.flatMap(Random.nextIntBetween(0, 4), (times) =>
        Effect.forEach(Array.from({ length: times }), () => Effect.yieldNow, { discard: true })
      )
      const visit = Effect.scoped(Effect.andThen(Effect.andThen(enter, stay), pause))
      for (let round = 0; round < 100; round++) {
        const fibers = yield* Effect.forEach(Array.from({ length: 50 }), () =>
          Effect.forkChild(visit, { startImmediately: round % 2 === 0 })
        )
        for (const fiber of fibers) {
          yield* pause
          if (yield* Random.nextBoolean) fiber.interruptUnsafe()
        }
        yield* Effect.forEach(fibers, Fiber.await)
      }
      assert.strictEqual(most, 3)
      // All three places are there, and no fourth.
      const left = yield* Effect.scoped(
        Effect.andThen(
          Effect.all([enter, enter, enter]),
          Effect.forkChild(Effect.scoped(enter), { startImmediately: true })
        )
      )
      assert.strictEqual(inside, 0)
      yield* Fiber.await(left)
    })
  )
})
