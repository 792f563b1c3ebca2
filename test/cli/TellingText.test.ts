import { assert, describe, it } from "@effect/vitest"
import { TellingText } from "../../src/TellingText.ts"

/** Pieces by where they stand, and the whole in the end: what a reader sees of it. */
const told = (pieces: ReadonlyArray<readonly [text: string, from: number]>, whole: string): string => {
  const telling = new TellingText()
  const seen = pieces.map(([text, from]) => telling.piece(text, from)).join("")
  return seen + telling.settle(whole)
}

describe("an answer that comes in pieces", () => {
  it("is shown as it comes, and nothing of it again when it is settled", () => {
    assert.strictEqual(
      told(
        [
          ["Half", 0],
          [" of it", 4]
        ],
        "Half of it"
      ),
      "Half of it"
    )
  })

  it("goes on where it was when it is begun anew in the same words after a crash", () => {
    assert.strictEqual(
      told(
        [
          ["Half of", 0],
          ["Ha", 0],
          ["lf of it", 2],
          [".", 10]
        ],
        "Half of it."
      ),
      "Half of it."
    )
  })

  it("is shown from its beginning, on a line of its own, when it is begun anew in other words", () => {
    assert.strictEqual(
      told(
        [
          ["Half of", 0],
          ["Half", 0],
          [" a loaf", 4],
          [".", 11]
        ],
        "Half a loaf."
      ),
      "Half of\nHalf a loaf."
    )
  })

  it("has what was missed of it once it is settled, and not in the wrong place before", () => {
    assert.strictEqual(
      told(
        [
          ["one", 0],
          [" three", 7]
        ],
        "one two three"
      ),
      "one two three"
    )
    assert.strictEqual(told([["three", 8]], "one two three"), "one two three", "who came in the middle of it")
  })

  it("is another message after it is settled", () => {
    const telling = new TellingText()
    assert.strictEqual(telling.piece("same", 0) + telling.settle("same"), "same")
    assert.strictEqual(telling.piece("same", 0) + telling.settle("same"), "same")
  })
})
