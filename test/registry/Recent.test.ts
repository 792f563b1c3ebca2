import { assert, describe, it } from "@effect/vitest"
import { Recent } from "../../layers/registry/Recent.ts"

describe("what was used last", () => {
  it("is kept, and what was not is let go of", () => {
    const recent = new Recent<number>(10)
    for (let at = 0; at < 1_000; at++) {
      recent.set(`${at}`, at)
      assert.strictEqual(recent.get("0"), 0)
    }
    for (let at = 991; at < 1_000; at++) assert.strictEqual(recent.get(`${at}`), at)
    for (let at = 1; at < 970; at++) assert.isUndefined(recent.get(`${at}`))
  })
})
