import { assert, describe, it } from "@effect/vitest"
import * as Languages from "../../layers/tools/codebase/Languages.ts"
import * as LineCounter from "../../layers/tools/codebase/LineCounter.ts"
import { samples } from "../support/polyglot.ts"

const languages = await Languages.load()

const count = (file: string, text: string) => {
  const language = languages.byName(file)
  assert.isDefined(language, `${file} is in a known language`)
  return { language: language.name, ...LineCounter.make(language.syntax)(new TextEncoder().encode(text)) }
}

describe("LineCounter", () => {
  it("knows at least 50 languages, each counted as by hand", () => {
    assert.isAtLeast(new Set(samples.map(({ language }) => language)).size, 50)
    for (const { blanks, code, comments, file, language, text } of samples) {
      assert.deepStrictEqual(count(file, text), { language, code, comments, blanks }, file)
    }
  })

  it("counts the same whatever the line ends", () => {
    for (const { blanks, code, comments, file, language, text } of samples) {
      assert.deepStrictEqual(
        count(file, text.replaceAll("\n", "\r\n")),
        { language, code, comments, blanks },
        `${file} with CRLF`
      )
      assert.deepStrictEqual(
        count(file, text.slice(0, -1)),
        { language, code, comments, blanks },
        `${file} without a last line end`
      )
    }
  })

  it("accounts for every line, and never more than once", () => {
    for (const { file, text } of samples) {
      for (let end = 0; end <= text.length; end++) {
        const cut = text.slice(0, end)
        const { blanks, code, comments } = count(file, cut)
        const lines = cut.split("\n").length - (cut === "" || cut.endsWith("\n") ? 1 : 0)
        assert.strictEqual(code + comments + blanks, lines, `${file} up to ${end}`)
      }
    }
  })

  it("takes a script's first line for code and an extension in capitals for the same", () => {
    assert.strictEqual(languages.byFirstLine("#!/usr/bin/env -S python3.11 -u")?.name, "Python")
    assert.strictEqual(languages.byFirstLine("#!/bin/bash")?.name, "Shell")
    assert.isUndefined(languages.byFirstLine("print 1"))
    assert.strictEqual(languages.byName("A.PY")?.name, "Python")
    assert.strictEqual(languages.byName("a.d.ts")?.name, "TypeScript")
    assert.isUndefined(languages.byName("a.js.map"))
    assert.deepStrictEqual(count("a.sh", "#!/bin/sh\n# a\n"), { language: "Shell", code: 1, comments: 1, blanks: 0 })
  })
})
