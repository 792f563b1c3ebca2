import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { makeWorkerIds } from "../../services/worker/WorkerId.ts"

describe("worker ids", () => {
  it.effect(
    "sort in the order in which they were made, however many in a millisecond, also when the clock goes back",
    () =>
      Effect.gen(function* () {
        const next = makeWorkerIds()
        const ids: Array<string> = []
        for (let index = 0; index < 70_000; index++) ids.push(yield* next)
        yield* TestClock.adjust(1_000)
        for (let index = 0; index < 10; index++) ids.push(yield* next)
        yield* TestClock.setTime(500)
        for (let index = 0; index < 10; index++) ids.push(yield* next)
        assert.deepStrictEqual(ids.toSorted(), ids)
        assert.strictEqual(new Set(ids).size, ids.length)
      })
  )
})
