import { assert, describe, it } from "@effect/vitest"
import { endSampled } from "../../services/mcp/endSampled.ts"

const ask = (maxTokens: number, ...stopSequences: ReadonlyArray<string>) => ({ maxTokens, stopSequences })

describe("a sampled text", () => {
  it("ends as the model says", () => {
    assert.deepStrictEqual(endSampled(ask(10), "all of it", "stop"), { text: "all of it", stopReason: "endTurn" })
    assert.deepStrictEqual(endSampled(ask(10), "half", "length"), { text: "half", stopReason: "maxTokens" })
    assert.deepStrictEqual(endSampled(ask(10), "", "content-filter"), { text: "", stopReason: "refusal" })
  })

  it("ends before the first stop sequence, and says so", () => {
    assert.deepStrictEqual(endSampled(ask(10, "END", "stop"), "one stop two END", "stop"), {
      text: "one ",
      stopReason: "stopSequence"
    })
    assert.deepStrictEqual(endSampled(ask(10, ""), "one", "stop"), { text: "one", stopReason: "endTurn" })
  })

  it("is cut where the model does not keep to the number of tokens", () => {
    assert.deepStrictEqual(endSampled(ask(2, "y"), `${"x".repeat(99)}y`, "stop"), {
      text: "x".repeat(16),
      stopReason: "maxTokens"
    })
  })
})
