import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as DeltaBatch from "../../layers/session/DeltaBatch.ts"

/** Milliseconds that a piece is held back at most. */
const PERIOD = 20

const Piece = Schema.Struct({
  text: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(5)),
  /** Milliseconds until the next one. */
  pause: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 45 }))
})

describe("small pieces of text", () => {
  it.effect.prop(
    "go out within 20 ms, whole and in order, in no more batches than there are times 20 ms; and nothing after the end",
    [Schema.Array(Piece).check(Schema.isMaxLength(30))],
    ([pieces]) =>
      Effect.gen(function* () {
        const batches: Array<{ readonly at: number; readonly text: string }> = []
        const batch = DeltaBatch.make((text) =>
          Effect.map(Clock.currentTimeMillis, (at) => void batches.push({ at, text }))
        )
        let added = ""
        const times: Array<number> = []
        for (const { pause, text } of pieces) {
          const now = yield* Clock.currentTimeMillis
          for (const _ of text) times.push(now)
          added += text
          yield* batch.add(text)
          for (let passed = 0; passed < pause; passed++) yield* TestClock.adjust(1)
        }
        yield* batch.end
        const count = batches.length
        yield* TestClock.adjust("1 second")
        assert.strictEqual(batches.length, count, "nothing after the end")
        assert.strictEqual(batches.map(({ text }) => text).join(""), added)
        let from = 0
        batches.forEach(({ at, text }, index) => {
          // The oldest of it has waited longest.
          assert.isAtMost(at - (times[from] ?? at), PERIOD)
          const before = batches[index - 1]
          // What is left at the end goes out with it.
          if (before !== undefined && index < count - 1) assert.isAtLeast(at - before.at, PERIOD)
          from += Array.from(text).length
        })
      }),
    { arbitrary: { runs: 100 } }
  )
})
