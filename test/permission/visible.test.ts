import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { visible, visibleJson } from "../../services/permission/visible.ts"

describe("what a person is shown before deciding", () => {
  it("approval-bypass: shows hidden characters of a command", () => {
    const corpus: ReadonlyArray<readonly [name: string, hidden: string]> = [
      ["right-to-left override", "\u202e"],
      ["isolate", "\u2066"],
      ["zero-width space", "\u200b"],
      ["zero-width joiner", "\u200d"],
      ["word joiner", "\u2060"],
      ["byte order mark", "\ufeff"],
      ["soft hyphen", "\u00ad"],
      ["escape", "\u001b"],
      ["carriage return", "\r"],
      ["backspace", "\b"],
      ["new line", "\n"],
      ["line separator", "\u2028"],
      ["no-break space", "\u00a0"],
      ["em space", "\u2003"],
      ["Hangul filler", "\u3164"],
      ["half-width Hangul filler", "\uffa0"],
      ["blank Braille", "\u2800"],
      ["variation selector", "\ufe0f"],
      ["tag letter", "\u{e0072}"],
      ["supplementary variation selector", "\u{e0100}"],
      ["private use", "\ue000"],
      ["lone surrogate", "\ud800"],
      ["combining grapheme joiner", "\u034f"],
      ["Mongolian vowel separator", "\u180e"],
      ["invisible times", "\u2062"],
      ["delete", "\u007f"],
      ["next line", "\u0085"]
    ]
    for (const [name, hidden] of corpus) {
      const code = hidden.codePointAt(0)?.toString(16)
      assert.strictEqual(visible(`rm${hidden}-rf`), `rm\\u{${code}}-rf`, name)
    }
    assert.strictEqual(visibleJson({ command: "ls \u202e x\n" }), '{"command":"ls \\u{202e} x\\n"}')
  })

  it("leaves the letters of all scripts as they are", () => {
    for (const text of ["Grüße, Жук, 漢字, עברית, हिन्दी, ไทย", "a b\\c {}"]) assert.strictEqual(visible(text), text)
  })

  it.prop("lets no two commands look the same", [Schema.String, Schema.String], ([one, other]) => {
    if (one === other || one.includes("\\") || other.includes("\\")) return
    assert.notStrictEqual(visible(one), visible(other))
  })
})
