import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { nameOf, prefixOf } from "../../services/mcp/toolNames.ts"

const Name = Schema.NonEmptyString.check(Schema.isMaxLength(120))
/** Names made of what is hard to tell apart. */
const Tricky = Schema.Array(Schema.Literals(["a", "b", "_", "__", "-", ".", "é", "0"]))

describe("toolNames", () => {
  it("prefixes a tool with its server", () => {
    assert.strictEqual(nameOf("filesystem", "read_file"), "filesystem__read_file")
  })

  it.prop("has 1 to 64 of the characters that every provider takes", [Name, Name], ([server, tool]) =>
    assert.match(nameOf(server, tool), /^[A-Za-z0-9_-]{1,64}$/)
  )

  it.prop(
    "shadowing: no server can give a tool the name of another server's",
    [Tricky, Tricky, Tricky, Tricky],
    ([a, tool, b, other]) => {
      const [one, two] = [a.join(""), b.join("")]
      if (prefixOf(one) === prefixOf(two)) return
      assert.notStrictEqual(nameOf(one, tool.join("")), nameOf(two, other.join("")))
    }
  )

  it("tells names apart that differ only in what had to be changed", () => {
    assert.notStrictEqual(nameOf("s", "a.b"), nameOf("s", "a/b"))
    assert.notStrictEqual(nameOf("s", "x".repeat(100)), nameOf("s", `${"x".repeat(99)}y`))
  })
})
