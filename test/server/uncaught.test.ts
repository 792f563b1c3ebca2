import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"

const program = new URL("../support/throwing-callbacks.ts", import.meta.url).pathname

describe("any-crash-contained", () => {
  it("240 errors thrown outside of every fiber end neither the process nor any part of it, and are logged", () => {
    const { status, stderr, stdout } = spawnSync(process.execPath, [program, "loud"], {
      encoding: "utf8",
      timeout: 60_000
    })
    assert.strictEqual(status, 0, stderr)
    const logged = `${stdout}${stderr}`
    assert.include(logged, "120 results, 0 restarts")
    const count = (text: string) => logged.split(text).length - 1
    assert.strictEqual(count("a callback threw, outside of every part of the runtime"), 200)
    assert.strictEqual(count("a promise that nobody waits for was rejected"), 40)
  })
})
