/** The built package as someone sees it who installs it: plain JavaScript, declarations, and every entry. */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"

const root = new URL("../..", import.meta.url).pathname
const directory = mkdtempSync(join(tmpdir(), "espalier-consumer-"))
const modules = join(directory, "node_modules")

const run = (command: string, args: ReadonlyArray<string>, cwd: string) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })

const entries = [
  "espalier",
  "espalier/client",
  "espalier/services/session/SessionManager",
  "espalier/layers/journal/MemoryJournal"
]

beforeAll(() => {
  run("npm", ["run", "-s", "build"], root)
  run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", directory], root)
  const tarball = readdirSync(directory).find((name) => name.endsWith(".tgz")) ?? ""
  mkdirSync(join(modules, "espalier"), { recursive: true })
  run("tar", ["-xzf", join(directory, tarball), "-C", join(modules, "espalier"), "--strip-components=1"], directory)
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (!name.startsWith(".")) symlinkSync(join(root, "node_modules", name), join(modules, name))
  }
  writeFileSync(join(directory, "package.json"), JSON.stringify({ name: "consumer", type: "module" }))
}, 120_000)

afterAll(() => rmSync(directory, { recursive: true, force: true }))

describe("the built package", () => {
  it("imports from every entry", () => {
    const script = entries.map((entry) => `await import(${JSON.stringify(entry)})`).join("\n")
    run(process.execPath, ["--input-type=module", "--eval", script], directory)
  })

  it("gives types that a strict consumer compiles with", () => {
    writeFileSync(
      join(directory, "consumer.ts"),
      `import { Effect } from "effect"
import { SessionManager } from "espalier/services/session/SessionManager"
import * as Client from "espalier/client"
export const program = Effect.gen(function* () {
  const sessions = yield* SessionManager
  const session = yield* sessions.start({ title: "typed" })
  const id: string = session.id
  // @ts-expect-error a session's status is one of a few words
  const status: "nonsense" = session.status
  return [id, status]
})
export const client = Client
`
    )
    writeFileSync(
      join(directory, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          module: "nodenext",
          target: "es2024",
          lib: ["es2024", "esnext", "dom", "dom.iterable"],
          strict: true,
          noEmit: true,
          skipLibCheck: true,
          types: []
        },
        include: ["consumer.ts"]
      })
    )
    assert.strictEqual(run(join(root, "node_modules/.bin/tsc"), ["-p", directory], directory), "")
  })

  it("ships no source and no test", () => {
    const shipped = readdirSync(join(modules, "espalier"))
    assert.deepStrictEqual(shipped.sort(), ["LICENSE", "README.md", "dist", "package.json"])
  })
})
