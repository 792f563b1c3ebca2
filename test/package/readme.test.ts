/** What the README shows is what runs. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")
const readme = read("README.md")

describe("README", () => {
  it.each(["client", "embed"])("shows examples/%s.ts as it is", (name) => {
    assert.include(readme, read(`examples/${name}.ts`).trim())
  })

  it("names only files that are there", () => {
    const named = [...readme.matchAll(/`((?:docs|examples)\/[\w./-]+)`/g)].map(([, path]) => path ?? "")
    assert.isNotEmpty(named)
    assert.deepStrictEqual(
      named.filter((path) => !existsSync(new URL(`../../${path}`, import.meta.url))),
      []
    )
  })

  it("tells why each dependency is there", () => {
    const { dependencies, devDependencies } = JSON.parse(read("package.json"))
    const missing = Object.keys({ ...dependencies, ...devDependencies }).filter(
      (name) => !readme.includes(`\`${name}\``)
    )
    assert.deepStrictEqual(missing, [])
  })
})
