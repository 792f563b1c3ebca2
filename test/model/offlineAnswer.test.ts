import { assert, describe, it } from "@effect/vitest"
import { answerMessage, answerResults } from "../../services/model/offlineAnswer.ts"

const tools = [{ name: "echo", description: "says it again\nand more" }]
const textOf = (answer: ReturnType<typeof answerMessage>) => (answer._tag === "Say" ? answer.text : "")

describe("the answer without a model", () => {
  it("calls the tool that is asked for by name", () => {
    assert.deepStrictEqual(answerMessage('/tool echo {"a": [1, 2]}', tools), {
      _tag: "CallTool",
      tool: "echo",
      args: { a: [1, 2] }
    })
    assert.deepStrictEqual(answerMessage("  /tool echo\n{}", tools), { _tag: "CallTool", tool: "echo", args: {} })
    assert.deepStrictEqual(answerMessage("/tool echo", tools), { _tag: "CallTool", tool: "echo", args: {} })
  })

  it("says that no model is configured, what works, and which tools there are", () => {
    const text = textOf(answerMessage("How are you?", tools))
    for (const part of ["No model is configured", "/tool NAME {json}", "echo: says it again"])
      assert.include(text, part)
    assert.notInclude(text, "and more")
    assert.include(textOf(answerMessage("hi", [])), "no tools")
  })

  it("says what is wrong with arguments that are not JSON", () => {
    const text = textOf(answerMessage("/tool echo {a: 1}", tools))
    assert.include(text, "not JSON")
    assert.include(text, "/tool echo {")
  })

  it("asks for a name when there is none, and takes no other word for the command", () => {
    assert.include(textOf(answerMessage("/tool", tools)), "name of a tool")
    assert.include(textOf(answerMessage("/toolbox x", tools)), "No model is configured")
  })

  it("shows results as a person reads them, and failures with their reason", () => {
    const text = textOf(
      answerResults([
        { tool: "count", isFailure: false, result: { files: 3, report: "# Report\nall well", by: { ts: 2 } } },
        { tool: "fetch", isFailure: true, result: { error: "path_not_found", message: "no such path" } }
      ])
    )
    for (const part of ["files: 3", "# Report\nall well", '"ts": 2', "fetch failed: no such path (path_not_found)"]) {
      assert.include(text, part)
    }
  })

  it("cuts a result that is too long to be read", () => {
    const text = textOf(answerResults([{ tool: "dump", isFailure: false, result: "x".repeat(100_000) }]))
    assert.isBelow(text.length, 21_000)
    assert.include(text, "80000 more characters")
  })
})
