/**
 * An OpenAI-style server on the loopback that does what a test tells it to, byte by byte if need be: deltas, tool calls,
 * errors, silence, a line that is cut off, garbage. It remembers what it was asked.
 */
import { Effect, Schema, type Scope } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"

export type Step =
  /** One server-sent event, whatever is in it. */
  | { readonly _tag: "Data"; readonly data: string }
  /** Bytes as they are. */
  | { readonly _tag: "Raw"; readonly bytes: string | Uint8Array }
  /** Says nothing until somebody hangs up. */
  | { readonly _tag: "Silence" }
  | { readonly _tag: "Wait"; readonly milliseconds: number }
  /** Breaks the connection in the middle. */
  | { readonly _tag: "Cut" }
  /** Goes on when the test says so. */
  | { readonly _tag: "Gate"; readonly opened: Promise<void> }

export type Reply =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body: string }
  | ReadonlyArray<Step>

export interface Asked {
  readonly path: string
  readonly headers: IncomingMessage["headers"]
  readonly body: Body
}

const Message = Schema.Struct({
  role: Schema.String,
  content: Schema.optionalKey(Schema.Unknown),
  reasoning_content: Schema.optionalKey(Schema.String),
  tool_calls: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({ id: Schema.String, function: Schema.Struct({ name: Schema.String, arguments: Schema.String }) })
    )
  ),
  tool_call_id: Schema.optionalKey(Schema.String)
})
const Body = Schema.Struct({
  model: Schema.String,
  stream: Schema.optionalKey(Schema.Boolean),
  messages: Schema.Array(Message),
  tools: Schema.optionalKey(Schema.Array(Schema.Struct({ function: Schema.Struct({ name: Schema.String }) }))),
  response_format: Schema.optionalKey(Schema.Unknown)
})
type Body = typeof Body.Type
const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Body))

export type Script = (asked: Asked, index: number) => Reply

const chunk = (delta: unknown, finish: string | null = null, usage?: unknown): Step => ({
  _tag: "Data",
  data: JSON.stringify({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "scripted",
    choices: [{ index: 0, delta, finish_reason: finish }],
    ...(usage === undefined ? undefined : { usage })
  })
})

export const raw = (bytes: string | Uint8Array): Step => ({ _tag: "Raw", bytes })
export const data = (data: string): Step => ({ _tag: "Data", data })
export const wait = (milliseconds: number): Step => ({ _tag: "Wait", milliseconds })
export const silence: Step = { _tag: "Silence" }
export const cut: Step = { _tag: "Cut" }
export const gate = (opened: Promise<void>): Step => ({ _tag: "Gate", opened })

export const words = (...deltas: ReadonlyArray<string>): ReadonlyArray<Step> =>
  deltas.map((content) => chunk({ role: "assistant", content }))
export const thinks = (...deltas: ReadonlyArray<string>): ReadonlyArray<Step> =>
  deltas.map((reasoning_content) => chunk({ role: "assistant", reasoning_content }))

/** Arguments come in three pieces, as a model writes them. */
export const toolCall = (index: number, id: string, name: string, args: string): ReadonlyArray<Step> => {
  const third = Math.ceil(args.length / 3)
  const pieces = [args.slice(0, third), args.slice(third, 2 * third), args.slice(2 * third)]
  return pieces.map((piece, i) =>
    chunk({
      tool_calls: [
        i === 0
          ? { index, id, type: "function", function: { name, arguments: piece } }
          : { index, function: { arguments: piece } }
      ]
    })
  )
}

const usage = { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17, prompt_tokens_details: { cached_tokens: 4 } }

export const finish = (reason = "stop"): ReadonlyArray<Step> => [chunk({}, reason, usage), data("[DONE]")]
export const says = (...deltas: ReadonlyArray<string>): ReadonlyArray<Step> => [...words(...deltas), ...finish()]
export const calls = (...wanted: ReadonlyArray<readonly [name: string, args: string]>): ReadonlyArray<Step> => [
  ...wanted.flatMap(([name, args], index) => toolCall(index, `call_${index}`, name, args)),
  ...finish("tool_calls")
]
export const refuses = (status: number, message = "no", headers: Record<string, string> = {}): Reply => ({
  status,
  headers,
  body: JSON.stringify({ error: { message, type: "error", code: null } })
})

const writeSteps = async (response: ServerResponse, steps: ReadonlyArray<Step>): Promise<void> => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  response.flushHeaders()
  for (const step of steps) {
    if (response.destroyed) return
    switch (step._tag) {
      case "Data":
        response.write(`data: ${step.data}\n\n`)
        break
      case "Raw":
        response.write(step.bytes)
        break
      case "Wait":
        await new Promise((resolve) => setTimeout(resolve, step.milliseconds))
        break
      case "Gate":
        await step.opened
        break
      case "Cut":
        // After what was written has left.
        await new Promise((resolve) => setTimeout(resolve, 20))
        response.socket?.destroy()
        return
      // Silence
      default:
        return
    }
  }
  response.end()
}

const readBody = async (request: IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString("utf8")
}

export interface ModelServer {
  /** With `/v1`, as clients want it. */
  readonly url: string
  readonly asked: ReadonlyArray<Asked>
  /** Requests whose client has gone before the answer was whole. */
  readonly abandoned: () => number
  readonly open: () => number
  /** Says something else from now on. */
  readonly follow: (script: Script) => void
}

export const make = (script: Script): Effect.Effect<ModelServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      let current = script
      let open = 0
      let abandoned = 0
      const asked: Array<Asked> = []
      const server = createServer((request, response) => {
        open++
        response.on("close", () => {
          open--
          if (!response.writableFinished) abandoned++
        })
        void readBody(request).then(async (text) => {
          const entry = { path: request.url ?? "", headers: request.headers, body: decode(text) }
          asked.push(entry)
          const reply = current(entry, asked.length - 1)
          if (!("status" in reply)) return writeSteps(response, reply)
          response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers })
          response.end(reply.body)
          return undefined
        })
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      return {
        url: `http://127.0.0.1:${port}/v1`,
        asked,
        abandoned: () => abandoned,
        open: () => open,
        follow: (next: Script) => {
          current = next
        },
        close: () =>
          new Promise<void>((resolve) => {
            server.close(() => resolve())
            server.closeAllConnections()
          })
      }
    }),
    ({ close }) => Effect.promise(close)
  )
