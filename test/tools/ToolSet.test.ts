import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Schema } from "effect"
import * as ToolSet from "../../layers/tools/ToolSet.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { Tools } from "../../services/tools/Tools.ts"

const tool = (name: string) =>
  Tool.make({
    name,
    description: name,
    parameters: Schema.Struct({}),
    result: Schema.String,
    run: () => Effect.succeed(name)
  })

describe("ToolSet", () => {
  it.effect("lists tools by name and finds each", () =>
    Effect.gen(function* () {
      const tools = yield* Tools
      assert.deepStrictEqual(
        (yield* tools.list).map(({ name }) => name),
        ["a", "b"]
      )
      assert.strictEqual((yield* tools.get("b")).name, "b")
    }).pipe(Effect.provide(ToolSet.layer([tool("b"), tool("a")])))
  )

  it.effect("says which tools there are when asked for another", () =>
    Effect.gen(function* () {
      const tools = yield* Tools
      const refusal = yield* Effect.flip(tools.get("c"))
      assert.deepInclude(refusal, { _tag: "ToolNotFound", name: "c", available: ["a"] })
    }).pipe(Effect.provide(ToolSet.layer([tool("a")])))
  )

  it.effect("does not leave it to chance which of two tools of one name is run", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.flatMap(Effect.all([tool("a"), tool("a")]), ToolSet.make))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    })
  )
})
