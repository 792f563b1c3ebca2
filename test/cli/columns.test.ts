import { assert, describe, it } from "@effect/vitest"
import { columnAfter } from "../../src/cli/Terminal.ts"

describe("the column in which a text ends", () => {
  it("counts wide characters twice, folds at the edge and begins anew after a line feed", () => {
    assert.strictEqual(columnAfter(0, "abc", 10), 3)
    assert.strictEqual(columnAfter(3, "日本", 10), 7)
    assert.strictEqual(columnAfter(0, "0123456789", 10), 10, "a row that is full is not left yet")
    assert.strictEqual(columnAfter(10, "x", 10), 1)
    assert.strictEqual(columnAfter(9, "日", 10), 2, "a wide one does not fit at the edge")
    assert.strictEqual(columnAfter(7, "end\nof it", 10), 5)
    assert.strictEqual(columnAfter(7, "end\n", 10), 0)
    assert.strictEqual(columnAfter(0, "\u001b[2mdim\u001b[22m", 10), 3)
  })
})
