import { assert, describe, it } from "@effect/vitest"
import { mainOf } from "../../services/registry/Agent.ts"
import { bounded, type Entry, fromEvents, toldOf, WINDOW, windowAfter } from "../../services/session/Conversation.ts"
import * as Topic from "../../services/events/Topic.ts"
import { CallId, MessageId, SessionId, TurnId } from "../../services/session/SessionId.ts"

const user = (text: string): Entry => ({ _tag: "User", text, sequence: 1 })
const said = (text: string): Entry => ({ _tag: "Assistant", text, calls: [], sequence: 1 })
const called = (result: string): Entry => ({
  _tag: "Assistant",
  text: "",
  calls: [{ callId: CallId.make("call_1"), tool: "echo", args: {}, outcome: { _tag: "ToolCompleted", result } }],
  sequence: 1
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

  it("begins where it began before for many turns, so that providers find it in their cache", () => {
    const turns = 2_000
    /** As a session's journal grows: four events a turn, of which the model is shown two. */
    const all = Array.from({ length: turns }, (_, n): ReadonlyArray<Entry> => [
      { ...user(`q${n}`), sequence: 4 * n + 2 },
      { ...said(`a${n}`), sequence: 4 * n + 3 }
    ]).flat()
    const first = new Set<number>()
    let fewest = Infinity
    for (let turn = 500; turn < turns; turn++) {
      const sequence = 4 * turn + 2
      const after = windowAfter(sequence)
      assert.isAtMost(sequence - after, WINDOW)
      const shown = bounded(all.filter((entry) => entry.sequence > after && entry.sequence <= sequence))
      assert.strictEqual(shown[0]?._tag, "User")
      first.add(shown[0]?.sequence ?? 0)
      fewest = Math.min(fewest, shown.length)
    }
    assert.isBelow(first.size, (turns - 500) / 10)
    assert.isAbove(fewest, 150)
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

  it("says which agent a message is from, and of a person's message nothing", () => {
    const topic = Topic.ofSession(SessionId.make("ses_a"))
    const [first, second] = [MessageId.make("msg_1"), MessageId.make("msg_2")]
    const turnId = TurnId.make("turn_1")
    const entries = fromEvents([
      {
        topic,
        sequence: 1,
        at: 0,
        event: { _tag: "MessageReceived", messageId: first, text: "hi", from: mainOf(SessionId.make("ses_b")) }
      },
      { topic, sequence: 2, at: 0, event: { _tag: "MessageReceived", messageId: second, text: "hello" } },
      { topic, sequence: 3, at: 0, event: { _tag: "TurnStarted", turnId, messageId: first } },
      { topic, sequence: 4, at: 0, event: { _tag: "TurnStarted", turnId, messageId: second } }
    ])
    const texts = entries.map(({ text }) => text)
    assert.deepStrictEqual(texts, ["[from agent ses_b/main/0] hi", "hello"])
  })
})
