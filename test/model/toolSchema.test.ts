import { assert, describe, it } from "@effect/vitest"
import { rootObject } from "../../layers/model/aisdk/toolSchema.ts"

const string = { type: "string" } as const

describe("the parameters of a tool, as providers take them", () => {
  it("are left as they are where they are an object", () => {
    const schema = {
      type: "object",
      properties: { a: { anyOf: [string, { type: "null" }] } },
      required: ["a"]
    } as const
    assert.strictEqual(rootObject(schema as never), schema)
  })

  it("are said to be an object where nothing is said", () => {
    assert.deepStrictEqual(rootObject({}), { type: "object" })
    assert.deepStrictEqual(rootObject({ properties: { a: string } }), { type: "object", properties: { a: string } })
  })

  it("show every argument of all alternatives, and require what each of them requires", () => {
    assert.deepStrictEqual(
      rootObject({
        type: "object",
        properties: { id: string },
        required: ["id"],
        oneOf: [
          { properties: { kind: { const: "a" }, text: string }, required: ["kind", "text"] },
          { properties: { kind: { const: "b" }, url: string }, required: ["kind", "url"] },
          { properties: { kind: { const: "c" } }, required: ["kind"] }
        ]
      }),
      {
        type: "object",
        properties: {
          id: string,
          kind: { anyOf: [{ const: "a" }, { const: "b" }, { const: "c" }] },
          text: string,
          url: string
        },
        required: ["id", "kind"]
      }
    )
  })

  it("keep what only says which of them belong together, without saying so", () => {
    assert.deepStrictEqual(
      rootObject({
        type: "object",
        properties: { route: string, file: string },
        anyOf: [{ required: ["route"] }, { required: ["file"] }]
      }),
      { type: "object", properties: { route: string, file: string } }
    )
  })

  it("follow references, and join what all of them say", () => {
    assert.deepStrictEqual(
      rootObject({
        $ref: "#/$defs/Both",
        $defs: {
          Both: { allOf: [{ $ref: "#/$defs/A" }, { properties: { b: string }, required: ["b"] }] },
          A: { type: "object", properties: { a: string }, required: ["a"] }
        }
      }),
      {
        type: "object",
        properties: { a: string, b: string },
        required: ["a", "b"],
        $defs: {
          Both: { allOf: [{ $ref: "#/$defs/A" }, { properties: { b: string }, required: ["b"] }] },
          A: { type: "object", properties: { a: string }, required: ["a"] }
        }
      }
    )
  })

  it("end somewhere when they refer to themselves", () => {
    const schema = {
      $ref: "#/$defs/A",
      $defs: { A: { anyOf: [{ $ref: "#/$defs/A" }, { properties: { a: string } }] } }
    }
    assert.deepInclude(rootObject(schema as never), { type: "object", properties: { a: string } })
  })
})
