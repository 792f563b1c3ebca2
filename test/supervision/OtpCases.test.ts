/** `docs/otp-cases.md` names only tests that exist, and leaves no case of OTP's without an answer. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")

const rows = Array.from(
  read("docs/otp-cases.md").matchAll(/^\| `(\w+)` \| (.+) \|$/gm),
  ([, name = "", answer = ""]) => ({
    name,
    answer
  })
)

/** What the tests of a file are called; `${…}` stands for anything. */
const titles = (file: string): ReadonlyArray<RegExp> =>
  Array.from(read(file).matchAll(/\b(?:test|it|it\.effect)\(\s*(["`])(.+?)\1,/g), ([, , title = ""]) => {
    const literal = title.split(/\$\{.*?\}/).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    return new RegExp(`^${literal.join(".+")}$`)
  })

describe("docs/otp-cases.md", () => {
  it("lists each case once", () => {
    assert.isAtLeast(rows.length, 85)
    assert.strictEqual(new Set(rows.map(({ name }) => name)).size, rows.length)
  })

  for (const { answer, name } of rows) {
    it(`${name}: the tests it names exist, or it says why it has no meaning here`, () => {
      const [, names, file] = /^(".+") in `(.+)`$/.exec(answer) ?? []
      if (names === undefined || file === undefined) {
        assert.match(answer, /^No meaning here[:,] .{10,}\.$/)
        return
      }
      const known = titles(file)
      for (const [, title = ""] of names.matchAll(/"(.+?)"(?:; |$)/g)) {
        assert.isTrue(
          known.some((pattern) => pattern.test(title)),
          `there is no test "${title}" in ${file}`
        )
      }
    })
  }
})
