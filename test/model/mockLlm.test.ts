/** An OpenAI-style server that somebody else wrote. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { spawn } from "node:child_process"
import { createServer } from "node:net"
import { fileURLToPath } from "node:url"
import * as AiSdkModel from "../../layers/model/AiSdkModel.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const main = fileURLToPath(new URL("../../node_modules/@dwmkerr/mock-llm/dist/main.js", import.meta.url))

const freePort = Effect.promise(
  () =>
    new Promise<number>((resolve) => {
      const server = createServer().listen(0, "127.0.0.1", () => {
        const address = server.address()
        server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
      })
    })
)

const mockLlm = Effect.gen(function* () {
  const port = yield* freePort
  const cwd = yield* temporaryDirectory
  const { PATH = "" } = process.env
  yield* Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<ReturnType<typeof spawn>>((resolve, reject) => {
          const child = spawn(process.execPath, [main], { cwd, env: { PATH, HOST: "127.0.0.1", PORT: String(port) } })
          child.stdout.on("data", (text) => {
            if (String(text).includes("running on")) resolve(child)
          })
          child.on("exit", () => reject(new Error("mock-llm did not start")))
        })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const provider = createOpenAICompatible({ name: "mock", baseURL: `http://127.0.0.1:${port}/v1` })
  return yield* AiSdkModel.make({ model: provider("gpt-4") })
})

describe("mock-llm", () => {
  it.live("is understood, whole and streamed", () =>
    Effect.gen(function* () {
      const model = yield* mockLlm
      const whole = yield* model.generateText({ prompt: "Say this again." })
      assert.strictEqual(whole.text, "Say this again.")
      const parts = yield* Stream.runCollect(model.streamText({ prompt: "Say this again, in pieces." }))
      const text = parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join("")
      assert.strictEqual(text, "Say this again, in pieces.")
      assert.strictEqual(parts.at(-1)?.type, "finish")
    }).pipe(Effect.scoped)
  )
})
