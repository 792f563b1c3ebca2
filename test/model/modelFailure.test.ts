import { assert, describe, it } from "@effect/vitest"
import { AiError } from "effect/ai"
import { failureOf } from "../../services/model/modelFailure.ts"

const unreachable = (url: string, description: string) =>
  failureOf(new AiError.NetworkError({ reason: "TransportError", method: "POST", url, description }))
const refused = (description: string) => failureOf(new AiError.InvalidRequestError({ description }))

describe("a model that cannot answer", () => {
  it("tells where nothing answers, and what to start there", () => {
    const { code, message } = unreachable("http://127.0.0.1:11434/v1/chat/completions", "ECONNREFUSED")
    assert.strictEqual(code, "model_unavailable")
    assert.include(message, "nothing answers at http://127.0.0.1:11434 (ECONNREFUSED)")
    assert.include(message, "ollama serve")
    assert.match(
      unreachable("https://api.example.com/v1", "ENOTFOUND").message,
      /^https:\/\/api\.example\.com cannot be reached/
    )
    assert.notInclude(unreachable("https://127.0.0.1.example.com/v1", "ENOTFOUND").message, "ollama")
    assert.include(unreachable("http://127.0.0.1:11434/v1", "ECONNRESET").message, "send the message again later")
  })

  it("tells a model that is not there from one that cannot call tools, and from a wrong address", () => {
    assert.include(refused('model "qwen3" not found, try pulling it first').message, "ollama pull")
    assert.include(
      refused("The model `gpt-99` does not exist or you do not have access to it.").message,
      "ESPALIER_MODEL"
    )
    assert.include(refused("library/gemma:2b does not support tools").message, "can call tools")
    assert.include(refused("Not Found").message, "/v1")
    assert.include(refused("temperature is wrong").message, "temperature is wrong")
  })
})
