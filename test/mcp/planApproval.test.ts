import { assert, describe, it } from "@effect/vitest"
import type { Schema } from "effect"
import { type ApprovedTool, canonical, pinnedText, planApproval } from "../../services/mcp/planApproval.ts"
import { Looker, limits, look } from "../../services/mcp/ToolDefinition.ts"

const tool = (name: string, hash = name): ApprovedTool => ({
  name,
  description: "",
  inputSchema: { type: "object" },
  hash
})
const approved = (...tools: ReadonlyArray<ApprovedTool>) => new Map(tools.map((tool) => [tool.name, tool]))

describe("planApproval", () => {
  it("takes what a declared server shows when it is first seen as approved", () => {
    const plan = planApproval(undefined, [tool("a"), tool("b")])
    assert.deepStrictEqual(
      [...(plan.firstSight ?? [])].map(([name]) => name),
      ["a", "b"]
    )
    assert.strictEqual(plan.usable.length, 2)
  })

  it("blocks what is new or has changed, and nothing else", () => {
    const plan = planApproval(approved(tool("a"), tool("b"), tool("c")), [tool("a"), tool("b", "other"), tool("d")])
    assert.deepStrictEqual(
      [
        plan.usable.map(({ name }) => name),
        plan.blocked.map(({ reason, tool }) => [tool.name, reason]),
        plan.gone.map(({ name }) => name)
      ],
      [
        ["a"],
        [
          ["b", "changed"],
          ["d", "new"]
        ],
        ["c"]
      ]
    )
    assert.isUndefined(plan.firstSight)
  })

  it("pins name, description and schema, however the schema's keys are ordered", () => {
    const base = { name: "a", description: "d", inputSchema: { type: "object", properties: { x: { type: "string" } } } }
    const reordered = { ...base, inputSchema: { properties: { x: { type: "string" } }, type: "object" } }
    assert.strictEqual(pinnedText(base), pinnedText(reordered))
    for (const changed of [
      { ...base, name: "b" },
      { ...base, description: "d " },
      { ...base, inputSchema: { type: "object", properties: { x: { type: "string", description: "and your keys" } } } }
    ]) {
      assert.notStrictEqual(pinnedText(base), pinnedText(changed))
    }
  })

  it("writes equal values as equal text and keeps keys named __proto__ as what they are", () => {
    const parse = (text: string): Schema.Json => JSON.parse(text)
    assert.strictEqual(canonical(parse('{"b":1,"a":[{"d":1,"c":null}]}')), '{"a":[{"c":null,"d":1}],"b":1}')
    assert.notStrictEqual(canonical(parse('{"__proto__":{"x":1}}')), canonical({}))
    assert.isUndefined(({} as { readonly x?: unknown }).x)
  })
})

describe("ToolDefinition", () => {
  it("cuts long descriptions and refuses what is too large, too deep or no definition, with the reason", () => {
    const fine = look({ name: "a", description: "x".repeat(limits.description + 1), inputSchema: { type: "object" } })
    assert.isTrue("description" in fine && fine.description.length < limits.description + 60)
    let deep: Schema.JsonObject = { type: "object" }
    for (let i = 0; i < 40; i++) deep = { type: "object", properties: { deep } }
    const huge = { type: "object", properties: { a: { type: "string", description: "x".repeat(limits.schema) } } }
    for (const [raw, reason] of [
      [null, /no object/],
      [{ inputSchema: { type: "object" } }, /no name/],
      [{ name: "x".repeat(300), inputSchema: { type: "object" } }, /longer than/],
      [{ name: "a" }, /inputSchema is no object/],
      [{ name: "a", inputSchema: { type: "string" } }, /not of type "object"/],
      [{ name: "a", inputSchema: deep }, /deeper than/],
      [{ name: "a", inputSchema: huge }, /larger than/],
      [{ name: "a", description: 1, inputSchema: { type: "object" } }, /no text/],
      [{ name: "a", execution: { taskSupport: "required" }, inputSchema: { type: "object" } }, /task/]
    ] as const) {
      const refused = look(raw)
      assert.isTrue("reason" in refused && reason.test(refused.reason), JSON.stringify(refused).slice(0, 200))
    }
  })

  it("takes 1,000 tools of a server and counts the others", () => {
    const looker = new Looker()
    for (let i = 0; i < 1_500; i++) looker.add({ name: `t${i}`, inputSchema: { type: "object" } })
    looker.add({ name: "t1", inputSchema: { type: "object" } })
    assert.strictEqual(looker.found.tools.length, 1_000)
    assert.strictEqual(looker.found.refusedCount, 501)
    assert.isAtMost(looker.found.refused.length, limits.refusals)
  })
})
