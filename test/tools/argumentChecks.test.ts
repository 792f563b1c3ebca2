import { assert, describe, it } from "@effect/vitest"
import type { Schema } from "effect"
import { Compiler } from "../../services/tools/argumentChecks.ts"

const object = (properties: Schema.JsonObject, more: Schema.JsonObject = {}): Schema.JsonObject => ({
  type: "object",
  properties,
  ...more
})

describe("checks of arguments", () => {
  it("checks by the dialect that the schema names, the newest when it names none", () => {
    const compiler = new Compiler()
    const tuple = { type: "array", prefixItems: [{ type: "string" }] }
    assert.lengthOf(compiler.compile(object({ a: tuple }))({ a: [1] }), 1)
    const old = object(
      { a: { type: "array", items: [{ type: "string" }] } },
      { $schema: "http://json-schema.org/draft-07/schema#" }
    )
    assert.lengthOf(compiler.compile(old)({ a: [1] }), 1)
    assert.lengthOf(compiler.compile(old)({ a: ["x"] }), 0)
  })

  it("tells two patterns apart, and takes time that grows with the text alone", () => {
    const check = new Compiler().compile(
      object({
        a: { type: "string", pattern: "^a+$" },
        b: { type: "string", pattern: "^b+$" },
        c: { type: "string", pattern: "^(c+)+$" }
      })
    )
    assert.lengthOf(check({ a: "aa", b: "bb" }), 0)
    assert.deepStrictEqual(
      check({ a: "aa", b: "aa" }).map(({ path }) => path),
      ["b"]
    )
    // 2^50 steps for an engine that goes back.
    assert.lengthOf(check({ c: `${"c".repeat(50)}!` }), 1)
  })

  it("refuses what is no schema, refers to other places, or has patterns that no engine in linear time can run", () => {
    for (const schema of [
      object({ a: { type: "nonsense" } }),
      object({ a: { $ref: "https://example.com/schema.json" } }),
      object({ a: { $ref: "#/definitions/none" } }),
      object({ a: { type: "string", pattern: "(a)\\1" } }),
      object({ a: { type: "string", pattern: "x".repeat(2_000) } }),
      object({}, { required: "a" })
    ]) {
      assert.throws(() => new Compiler().compile(schema), undefined, undefined, JSON.stringify(schema))
    }
  })

  it("proto-pollution: arguments and schemas named after prototypes stay what they are", () => {
    const parse = (text: string): Schema.JsonObject => JSON.parse(text)
    const check = new Compiler().compile(
      parse('{"type":"object","properties":{"__proto__":{"type":"object"},"constructor":{"type":"string"}}}')
    )
    check(parse('{"__proto__":{"x":1},"constructor":{"prototype":{"x":1}}}'))
    assert.isUndefined(({} as { readonly x?: unknown }).x)
  })
})
