import { assert, describe, it } from "@effect/vitest"
import { Effect, Pull, Result } from "effect"
import * as PartPump from "../../layers/model/aisdk/PartPump.ts"

const numbers = Array.from({ length: 40 }, (_, index) => index)

/** Every part takes some turns of its own on its way, as it does through a provider's transformations. */
const slowly = () => {
  const parts = numbers.values()
  return new ReadableStream<number>(
    {
      pull: async (controller) => {
        for (let i = 0; i < 10; i++) await Promise.resolve()
        const next = parts.next()
        if (next.done) controller.close()
        else controller.enqueue(next.value)
      }
    },
    { highWaterMark: 0 }
  )
}

const apart: PartPump.Reading<number, number, string> = {
  accept: (part) => ({ part }),
  join: () => undefined,
  toError: String
}

/** What each pull gave, and how it ended. */
const pulls = Effect.fnUntraced(function* ({ pull }: PartPump.PartPump<number, string>) {
  const found: Array<ReadonlyArray<number>> = []
  const all = Effect.forever(
    Effect.map(pull, (parts) => found.push(parts)),
    { disableYield: true }
  )
  const end = yield* Effect.result(Pull.catchDone(all, () => Effect.succeed("the end" as const)))
  return { found, end }
})

describe("PartPump", () => {
  it.live("hands over what comes in one burst together, in its order", () =>
    Effect.gen(function* () {
      const pump = PartPump.make(slowly(), { ...apart, accept: (part) => ({ part }) })
      const { end, found } = yield* pulls(pump)
      assert.deepStrictEqual(found.flat(), numbers)
      assert.isAtMost(found.length, 5)
      assert.deepStrictEqual(end, Result.succeed("the end"))
      assert.isFalse(pump.close())
    })
  )

  it.live("joins what says more of the same in one burst, and nothing beyond it", () =>
    Effect.gen(function* () {
      const tens = (part: number) => Math.floor(part / 10)
      const join = (last: number, next: number) => (tens(last) === tens(next) ? next : undefined)
      const pump = PartPump.make(slowly(), { ...apart, join })
      const { found } = yield* pulls(pump)
      assert.includeMembers(found.flat(), [9, 19, 29, 39])
      assert.isBelow(found.flat().length, 10)
      assert.deepStrictEqual(
        found.flat(),
        found.flat().toSorted((a, b) => a - b)
      )
    })
  )

  it.live("hands over what came before a failure, and then the failure", () =>
    Effect.gen(function* () {
      const accept = (part: number) => (part === 30 ? { error: "broken" } : { part })
      const pump = PartPump.make(slowly(), { ...apart, accept })
      const { end, found } = yield* pulls(pump)
      assert.deepStrictEqual(found.flat(), numbers.slice(0, 30))
      assert.deepStrictEqual(end, Result.fail("broken"))
    })
  )
})
