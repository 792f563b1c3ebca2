import { assert, describe, it } from "@effect/vitest"
import { bounded, type Entry, toldOf } from "../../services/session/Conversation.ts"
import { CallId } from "../../services/session/SessionId.ts"

const user = (text: string): Entry => ({ _tag: "User", text })
const said = (text: string): Entry => ({ _tag: "Assistant", text, calls: [] })
const called = (result: string): Entry => ({
  _tag: "Assistant",
  text: "",
  calls: [{ callId: CallId.make("call_1"), tool: "echo", args: {}, outcome: { _tag: "ToolCompleted", result } }]
})

describe("what a model is shown", () => {
  it("is everything while it fits", () => {
    const entries = [user("a"), said("b"), user("c")]
    assert.deepStrictEqual(bounded(entries), entries)
  })

  it("is the newest turns when it does not, and begins with a user's message", () => {
    const entries = Array.from({ length: 300 }, (_, i) => (i % 2 === 0 ? user(`${i}`) : said(`${i}`)))
    const shown = bounded([...entries, user("last")])
    assert.strictEqual(shown[0]?._tag, "User")
    assert.deepStrictEqual(shown.at(-1), user("last"))
    assert.isAtMost(shown.length, 200)
    assert.isAtLeast(shown.length, 198)
  })

  it("always has the message that is being answered", () => {
    const steps = Array.from({ length: 12 }, () => called("x".repeat(45_000)))
    const shown = bounded([user("old"), said("old"), user("the question"), ...steps])
    assert.deepStrictEqual(shown[0], user("the question"))
    assert.isBelow(shown.length, 12)
    assert.deepStrictEqual(shown.at(-1), steps.at(-1))
  })

  it("has a message however long it is", () => {
    const long = user("y".repeat(500_000))
    assert.deepStrictEqual(bounded([user("a"), said("b"), long]), [long])
  })

  it("has long results cut", () => {
    const { result } = toldOf({ _tag: "ToolCompleted", result: "z".repeat(100_000) })
    assert.isBelow(JSON.stringify(result).length, 51_000)
  })
})
