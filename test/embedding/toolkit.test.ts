import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { ask } from "../../src/ask.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { calls, layer as scripted, says, type Script } from "../support/ScriptedModel.ts"

class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { what: Schema.String }) {
  override get message() {
    return `there is no ${this.what} left`
  }
}

const Buy = Tool.make("buy", {
  description: "Buys something",
  parameters: Schema.Struct({ what: Schema.String, count: Schema.Int }),
  success: Schema.Struct({ total: Schema.Int }),
  failure: OutOfStock
})
/** As it comes from elsewhere: a JSON Schema and no more. */
const Wrap = Tool.dynamic("wrap", {
  description: "Wraps it up",
  parameters: {
    type: "object",
    properties: { paper: { enum: ["red", "blue"] }, ribbons: { type: "integer", maximum: 3 } },
    required: ["paper"],
    additionalProperties: false
  },
  success: Schema.String
})
const Shop = Toolkit.make(Buy, Tool.make("look", { success: Schema.String }), Wrap)
const bought: Array<string> = []
const Handlers = Shop.toLayer({
  buy: ({ count, what }) =>
    what === "air"
      ? Effect.fail(new OutOfStock({ what }))
      : Effect.sync(() => {
          bought.push(`${count} ${what}`)
          return { total: count * 2 }
        }),
  look: () => Effect.succeed("all is well"),
  wrap: (args) =>
    Effect.sync(() => {
      bought.push(`wrapping ${JSON.stringify(args)}`)
      return "wrapped"
    })
})

/** What the model is told of its calls. */
const resultsOf = (...wanted: ReadonlyArray<readonly [string, unknown]>) => {
  let told: ReadonlyArray<unknown> = []
  const script: Script = ({ prompt }, round) => {
    if (round === 0) return calls(...wanted)
    const last = prompt.content.at(-1)
    told =
      last?.role === "tool" ? last.content.flatMap((part) => (part.type === "tool-result" ? [part.result] : [])) : []
    return says("done")
  }
  return Effect.gen(function* () {
    const sessions = yield* SessionManager
    const { id } = yield* sessions.start({})
    assert.strictEqual(yield* ask(id, "go"), "done")
    return told
  }).pipe(
    Effect.provide(
      Runtime.layerMemory({ model: scripted(script), toolkits: [Runtime.toolkit(Shop, Handlers)] }).pipe(
        Layer.provideMerge(Layer.empty)
      )
    )
  )
}

describe("a toolkit of effect/ai", () => {
  it.live("is offered to the model, run by its handlers, and its results are told", () =>
    Effect.gen(function* () {
      bought.length = 0
      const told = yield* resultsOf(["buy", { what: "tea", count: 3 }], ["look", {}])
      assert.deepStrictEqual(told, [{ total: 6 }, "all is well"])
      assert.deepStrictEqual(bought, ["3 tea"])
    })
  )

  it.live("never sees arguments that do not fit, and its typed failures are told by their names", () =>
    Effect.gen(function* () {
      bought.length = 0
      const [wrong, extra, failed] = yield* resultsOf(
        ["buy", { what: "tea", count: "three" }],
        ["buy", { what: "tea", count: 1, coupon: true }],
        ["buy", { what: "air", count: 1 }]
      )
      assert.deepInclude(wrong, { error: "invalid_input" })
      assert.deepInclude(extra, { error: "invalid_input" })
      assert.deepInclude(failed, { error: "out_of_stock", message: "there is no air left" })
      assert.deepStrictEqual(bought, [])
    })
  )

  it.live("that is described by a JSON Schema is checked by it, and the model is told what does not fit", () =>
    Effect.gen(function* () {
      bought.length = 0
      const [colour, many, extra, nothing, list, right] = yield* resultsOf(
        ["wrap", { paper: "green" }],
        ["wrap", { paper: "red", ribbons: 7 }],
        ["wrap", { paper: "red", bow: true }],
        ["wrap", {}],
        ["wrap", ["red"]],
        ["wrap", { paper: "red", ribbons: 2 }]
      )
      for (const refused of [colour, many, extra, nothing, list]) {
        assert.deepInclude(refused, { error: "invalid_input" })
      }
      assert.include(JSON.stringify(colour), 'paper: must be one of [\\"red\\",\\"blue\\"]')
      assert.include(JSON.stringify(extra), 'there is no argument \\"bow\\"')
      assert.include(JSON.stringify(nothing), "must have required property 'paper'")
      assert.strictEqual(right, "wrapped")
      assert.deepStrictEqual(bought, ['wrapping {"paper":"red","ribbons":2}'])
    })
  )

  it.live("with parameters that are no JSON Schema stops the start, with the tool's name", () =>
    Effect.gen(function* () {
      const Odd = Toolkit.make(Tool.dynamic("odd", { parameters: { type: "nonsense" } }))
      const exit = yield* Effect.exit(
        Effect.scoped(Runtime.toolkit(Odd, Odd.toLayer({ odd: () => Effect.succeed(null) })))
      )
      assert.include(String(exit), 'the parameters of the tool "odd"')
    })
  )
})
