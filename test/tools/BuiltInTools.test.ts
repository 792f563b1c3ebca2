import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import * as ReapedProcesses from "../../layers/processes/ReapedProcesses.ts"
import * as BuiltInTools from "../../layers/tools/BuiltInTools.ts"
import { Tools } from "../../services/tools/Tools.ts"

describe("BuiltInTools", () => {
  it.effect("are four, described well enough for a model to call them", () =>
    Effect.gen(function* () {
      const tools = yield* (yield* Tools).list
      assert.deepStrictEqual(
        tools.map(({ annotations, name }) => [
          name,
          annotations.weight,
          annotations.idempotent,
          annotations.classes.join(" "),
          annotations.needsPermission
        ]),
        [
          ["analyze_codebase", "heavy", true, "read network", false],
          ["delegate", "fast", false, "", false],
          ["generate_report", "fast", true, "read", false],
          ["process_large_file", "heavy", true, "read", false]
        ]
      )
      for (const { description, parameters } of tools) {
        assert.isAbove(description.length, 40)
        assert.deepInclude(parameters, { type: "object", additionalProperties: false })
      }
    }).pipe(
      Effect.provide(
        BuiltInTools.layer({ scratch: "/nonexistent" }).pipe(
          Layer.provide([MemoryJournal.layer(), ReapedProcesses.layer])
        )
      )
    )
  )
})
