import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { jsonSize } from "../../services/worker/jsonSize.ts"
import { ProgressReports } from "../../services/worker/ProgressReports.ts"

describe("ProgressReports", () => {
  it("keeps each stage and of each stage the newest report", () => {
    const reports = new ProgressReports()
    assert.strictEqual(reports.report(10, "cloning"), "now")
    assert.strictEqual(reports.report(12, "cloning"), "soon")
    assert.strictEqual(reports.report(12, "cloning"), "never")
    assert.strictEqual(reports.report(30, "analyzing"), "now")
    assert.deepStrictEqual(reports.take(), [
      { percent: 12, stage: "cloning" },
      { percent: 30, stage: "analyzing" }
    ])
    assert.deepStrictEqual(reports.take(), [])
  })

  it("never falls, never leaves 0 to 100, and holds a bounded number of reports", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.double(), fc.string({ maxLength: 3 })), { maxLength: 300 }), (calls) => {
        const reports = new ProgressReports()
        let before = 0
        for (const [percent, stage] of calls) {
          reports.report(percent, stage)
          assert.isAtLeast(reports.percent, before)
          assert.isAtMost(reports.percent, 100)
          before = reports.percent
        }
        const taken = reports.take()
        assert.isAtMost(taken.length, 64)
        assert.isTrue(taken.every(({ percent }, index) => percent >= (taken[index - 1]?.percent ?? 0)))
        if (taken.length > 0) {
          assert.deepStrictEqual(taken.at(-1), { percent: reports.percent, stage: reports.stage })
        }
      })
    )
  })

  it("keeps what could not be written, in order", () => {
    const reports = new ProgressReports()
    reports.report(10, "cloning")
    reports.report(20, "analyzing")
    const taken = reports.take()
    reports.report(25, "analyzing")
    reports.report(90, "report")
    reports.putBack(taken)
    assert.deepStrictEqual(reports.take(), [
      { percent: 10, stage: "cloning" },
      { percent: 25, stage: "analyzing" },
      { percent: 90, stage: "report" }
    ])
  })
})

describe("jsonSize", () => {
  it("is the length of the JSON text in bytes, or some number above the limit", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "binary" }), fc.nat(200), (value, limit) => {
        const json = value as Parameters<typeof jsonSize>[0]
        const size = new TextEncoder().encode(JSON.stringify(json)).length
        const counted = jsonSize(json, limit)
        if (size <= limit) assert.strictEqual(counted, size)
        else assert.isAbove(counted, limit)
      }),
      { numRuns: 2_000 }
    )
  })

  it("counts a lone surrogate as it is written", () => {
    for (const text of ["\ud800", "\udc00x", "\ud83c\udf33", "a\ud800\ud800", '\u0000\n"\\']) {
      assert.strictEqual(jsonSize(text, 1_000), new TextEncoder().encode(JSON.stringify(text)).length)
    }
  })

  it("stops counting early", () => {
    const many = Array.from({ length: 1_000_000 }, () => "x")
    assert.isAbove(jsonSize(many, 100), 100)
  })
})
