/** The client scenarios of the official conformance suite that apply: see `docs/mcp.md` for those that do not. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const path = (file: string) => fileURLToPath(new URL(`../${file}`, import.meta.url))

const suite = path("../node_modules/@modelcontextprotocol/conformance/dist/index.js")
const client = `${process.execPath} ${path("fixtures/mcp/conformance-client.ts")}`

const run = (scenario: string) =>
  Effect.gen(function* () {
    const results = yield* temporaryDirectory
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(
          process.execPath,
          [suite, "client", "--command", client, "--scenario", scenario, "--output-dir", results],
          {
            stdio: ["ignore", "pipe", "pipe"]
          }
        )
      ),
      (child) => Effect.sync(() => void child.kill("SIGKILL"))
    )
    let output = ""
    child.stdout.on("data", (data) => (output += String(data)))
    child.stderr.on("data", (data) => (output += String(data)))
    const [status] = yield* Effect.promise(() => once(child, "close"))
    return { status: status as number | null, output }
  })

describe("conformance", () => {
  for (const scenario of ["initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"]) {
    it.live(`passes ${scenario}`, () =>
      Effect.gen(function* () {
        const { output, status } = yield* run(scenario)
        assert.strictEqual(status, 0, output)
        assert.match(output, /OVERALL: PASSED/)
        assert.match(output, /0 failed/)
      })
    )
  }
})
