import { assert, describe, it } from "@effect/vitest"
import { BREAK, fold, Paste, unfold } from "../../src/cli/Paste.ts"

const paste = "\u001b[200~one\r\ntwo\u0003\u001b[A\nthree\ttabs\u001b[201~"
const taken = (...pieces: ReadonlyArray<string>): string => {
  const keyboard = new Paste()
  return pieces.map((piece) => keyboard.take(piece)).join("")
}

describe("what comes from the keyboard", () => {
  it("is a paste in one line, with nothing in it that is a key, wherever the terminal's pieces are cut", () => {
    const whole = taken(`a${paste}b\r`)
    assert.strictEqual(whole, `aone${BREAK}two[A${BREAK}three  tabsb\r`)
    const text = `a${paste}b\r`
    for (let cut = 1; cut < text.length; cut++) {
      // A line feed of two characters that is torn apart counts twice, and a mark that was taken for a key is none.
      const torn = taken(text.slice(0, cut), text.slice(cut))
      assert.strictEqual(torn.replace(`${BREAK}${BREAK}`, BREAK).replace("\u001b[200~", ""), whole, `cut at ${cut}`)
    }
  })

  it("are keys at once otherwise, and Alt with Enter is a line feed in the line", () => {
    for (const key of ["\u001b", "\u001b[", "\u001b[A", "x", "\r"]) assert.strictEqual(taken(key), key)
    assert.strictEqual(unfold(taken("a\u001b\rb")), "a\nb")
    assert.strictEqual(unfold(fold("one\r\ntwo\nthree")), "one\ntwo\nthree")
  })
})
