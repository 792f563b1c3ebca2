/** Any provider of the Vercel AI SDK, in three lines: here an endpoint that speaks OpenAI's chat completions. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { AiSdkModel, ask, Embedded, SessionManager } from "espalier"

const baseURL = process.env["ESPALIER_MODEL_URL"] ?? "http://127.0.0.1:11434/v1"
const provider = createOpenAICompatible({ name: "local", baseURL })
const Model = AiSdkModel.layer({ model: provider("qwen3") })

const program = Effect.gen(function* () {
  const sessions = yield* SessionManager
  const session = yield* sessions.start({ title: "one question" })
  const onText = (piece: string) => void process.stdout.write(piece)
  yield* ask(session.id, "Why is the sky blue? One sentence.", { onText })
  yield* Console.log()
})

program.pipe(Effect.provide(Embedded.layerMemory({ model: Model })), NodeRuntime.runMain)
