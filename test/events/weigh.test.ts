import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { inPieces, weigh } from "../../services/events/weigh.ts"

describe("weigh", () => {
  it("is about as many characters as the JSON has", () => {
    for (const value of [
      { _tag: "MessageReceived", messageId: "msg_1", text: "x".repeat(50_000) },
      { outcome: { result: Array.from({ length: 500 }, (_, n) => ({ path: `file${n}`, lines: n * 1_000 })) } },
      ["", "a", null, 1, true, { a: { b: { c: "deep" } } }]
    ]) {
      const { length } = JSON.stringify(value)
      assert.isAtLeast(weigh(value), length * 0.8)
      assert.isAtMost(weigh(value), length * 1.5 + 40)
    }
  })

  it.prop(
    "pieces hold every value once and in order, and are no heavier than they may be",
    [Schema.Array(Schema.String), Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))],
    ([values, most]) => {
      const pieces = inPieces(values, most)
      assert.deepStrictEqual(pieces.flat(), values)
      for (const piece of pieces) {
        assert.isTrue(piece.length === 1 || piece.reduce((sum, value) => sum + weigh(value), 0) <= most)
      }
      for (const [index, piece] of pieces.entries()) {
        const next = pieces[index + 1]?.[0]
        if (next !== undefined)
          assert.isAbove(
            [...piece, next].reduce((sum, one) => sum + weigh(one), 0),
            most
          )
      }
    }
  )
})
