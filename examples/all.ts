/** Runs every example as its reader would, each in a process of its own; the client's against a server of this run. */
import { spawn, type ChildProcess } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

const examples = [
  "supervision-one-for-one",
  "supervision-rest-for-one",
  "supervision-one-for-all",
  "supervision-dynamic",
  "supervision-tree",
  "embed",
  "toolkit",
  "provider",
  "promise",
  "routing",
  "client",
  "recover"
]

const root = new URL("..", import.meta.url).pathname
const data = mkdtempSync(join(tmpdir(), "espalier-examples-"))

const start = (file: string, args: ReadonlyArray<string>, env: Record<string, string>, pipe: boolean): ChildProcess =>
  spawn(process.execPath, ["--conditions=espalier-source", file, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", pipe ? "pipe" : "inherit", "inherit"]
  })

const ended = (child: ChildProcess): Promise<number> =>
  new Promise((resolve) => child.once("exit", (code) => resolve(code ?? 1)))

const urlOf = (server: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    server.once("exit", () => reject(new Error("the server did not start")))
    server.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const url = /http:\/\/\S+/.exec(text)?.[0]
      if (url !== undefined) resolve(url)
    })
  })

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** Stands in for a model where none is: it repeats what it is told. */
const modelPort = String(await freePort())
const mockLlm = "node_modules/@dwmkerr/mock-llm/dist/main.js"
const model = start(mockLlm, [], { HOST: "127.0.0.1", PORT: modelPort }, true)
const modelIsUp = new Promise<void>((resolve, reject) => {
  model.once("exit", () => reject(new Error("the model did not start")))
  model.stdout?.setEncoding("utf8").on("data", (text: string) => {
    if (text.includes("running on")) resolve()
  })
})

const server = start("src/main.ts", ["--port", "0"], { ESPALIER_DATA: data }, true)
let failed = 0
try {
  const url = await urlOf(server)
  await modelIsUp
  const env = { ESPALIER_URL: url, ESPALIER_MODEL_URL: `http://127.0.0.1:${modelPort}/v1` }
  for (const example of examples) {
    console.log(`\n--- examples/${example}.ts`)
    const code = await ended(start(`examples/${example}.ts`, [], env, false))
    if (code !== 0) {
      failed++
      console.error(`examples/${example}.ts ended with ${code}`)
    }
  }
} finally {
  const stopped = ended(server)
  server.kill("SIGTERM")
  model.kill("SIGKILL")
  if ((await stopped) !== 0) failed++
  rmSync(data, { recursive: true, force: true })
}
process.exitCode = failed === 0 ? 0 : 1
