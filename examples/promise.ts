/** The same for programs that know promises and not Effect, with a limit of time for the answer. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { Espalier } from "espalier/promise"

const baseURL = process.env["ESPALIER_MODEL_URL"] ?? "http://127.0.0.1:11434/v1"
const provider = createOpenAICompatible({ name: "local", baseURL })

const espalier = await Espalier.open({ model: provider("qwen3") })
try {
  const session = await espalier.session({ title: "one question" })
  const answer = await session.ask("Why is the sky blue? One sentence.", { signal: AbortSignal.timeout(60_000) })
  console.log(answer)
  for (const message of await session.messages()) console.log(message.sequence, message._tag)
} finally {
  await espalier.close()
}
