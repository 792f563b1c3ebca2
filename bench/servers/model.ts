/** An OpenAI-style model: it calls the tool `echo` for a message, and says 40 words once it has the result. */
import { createServer } from "node:http"
import { announce } from "./meter.ts"

const chunk = (delta: unknown, finish: string | null = null): string =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason: finish }], ...(finish === null ? {} : { usage: { prompt_tokens: 20, completion_tokens: 40, total_tokens: 60 } }) })}\n\n`

const call = [
  chunk({
    role: "assistant",
    tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "echo", arguments: '{"text":' } }]
  }),
  chunk({ tool_calls: [{ index: 0, function: { arguments: '"hello"}' } }] }),
  chunk({}, "tool_calls"),
  "data: [DONE]\n\n"
]
const words = [
  ...Array.from({ length: 40 }, (_, index) => chunk({ role: "assistant", content: `word${index} ` })),
  chunk({}, "stop"),
  "data: [DONE]\n\n"
]

const server = createServer((request, response) => {
  let body = ""
  request.setEncoding("utf8").on("data", (text: string) => (body += text))
  request.on("end", () => {
    const { messages } = JSON.parse(body) as { readonly messages: ReadonlyArray<{ readonly role: string }> }
    const pieces = messages.at(-1)?.role === "tool" ? words : call
    response.writeHead(200, { "content-type": "text/event-stream" })
    let index = 0
    // One write a token, as models do.
    const next = () => {
      const piece = pieces[index++]
      if (piece === undefined) return void response.end()
      response.write(piece)
      setImmediate(next)
    }
    next()
  })
})
server.keepAliveTimeout = 120_000
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  announce(typeof address === "object" && address !== null ? address.port : 0)
})
