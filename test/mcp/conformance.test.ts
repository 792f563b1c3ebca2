/** The client scenarios of the official conformance suite that apply: see `docs/mcp.md` for those that do not. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const path = (file: string) => fileURLToPath(new URL(`../${file}`, import.meta.url))

const suite = path("../node_modules/@modelcontextprotocol/conformance/dist/index.js")
const client = `${process.execPath} ${path("fixtures/mcp/conformance-client.ts")}`

/** All that apply. Those of `auth/` are about OAuth, which the client does not speak. */
const applying = ["initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"]

/** The client scenarios that the suite has. */
const known = Effect.sync(() => {
  const listed = spawnSync(process.execPath, [suite, "list"], { encoding: "utf8" }).stdout
  return [...(listed.split("Client scenarios")[1] ?? "").matchAll(/^ {2}- (\S+) \[/gm)].map(([, name]) => name)
})

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
  it.live("leaves out no client scenario but those about OAuth", () =>
    Effect.map(known, (known) => {
      assert.isAbove(known.length, applying.length)
      assert.sameMembers(
        known.filter((name) => name?.startsWith("auth/") !== true),
        applying
      )
    })
  )

  for (const scenario of applying) {
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
