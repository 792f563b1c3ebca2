import { assert, describe, it } from "@effect/vitest"
import { lastWordsOf } from "../../services/mcp/lastWordsOf.ts"

describe("the last words of a server that has ended", () => {
  it("are the reason, and not where in the program, which version, or which file holds the log", () => {
    const thrown = "Error: None of the directories are accessible\n    at main (index.js:1:1)\n\nNode.js v24.0.0\n"
    assert.strictEqual(lastWordsOf(thrown, 200), "Error: None of the directories are accessible")
    const npm =
      "npm error code ENOTCACHED\nnpm error request to https://example.invalid/x failed: no cached response\nnpm error A complete log of this run can be found in: /tmp/x.log\n"
    assert.strictEqual(
      lastWordsOf(npm, 200),
      "npm: code ENOTCACHED, request to https://example.invalid/x failed: no cached response"
    )
    assert.strictEqual(lastWordsOf("starting\nbye\n", 200), "bye")
    assert.strictEqual(lastWordsOf("", 200), "")
    assert.lengthOf(lastWordsOf(`Error: ${"x".repeat(1_000)}`, 200), 200)
  })
})
