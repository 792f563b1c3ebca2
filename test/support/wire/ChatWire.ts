/** OpenAI's chat completions, as most others speak them too, and what they refuse. */
import { Schema } from "effect"
import * as ModelServer from "../ModelServer.ts"
import type { Step } from "../ScriptedServer.ts"
import { type Block, checkName, type Ending, pieces, refuse, TAKEN, type Turn, type Wire } from "./Wire.ts"

const Message = Schema.Union([
  Schema.Struct({ role: Schema.tag("system"), content: Schema.String }),
  Schema.Struct({
    role: Schema.tag("user"),
    content: Schema.Union([
      Schema.String,
      Schema.NonEmptyArray(
        Schema.Union([
          Schema.Struct({ type: Schema.tag("text"), text: Schema.String }),
          Schema.Struct({ type: Schema.tag("image_url"), image_url: Schema.Struct({ url: Schema.String }) })
        ])
      )
    ])
  }),
  Schema.Struct({
    role: Schema.tag("assistant"),
    content: Schema.optionalKey(Schema.NullOr(Schema.String)),
    reasoning_content: Schema.optionalKey(Schema.String),
    tool_calls: Schema.optionalKey(
      Schema.NonEmptyArray(
        Schema.Struct({
          id: Schema.String,
          type: Schema.tag("function"),
          function: Schema.Struct({ name: Schema.String, arguments: Schema.fromJsonString(Schema.Json) })
        })
      )
    )
  }),
  Schema.Struct({ role: Schema.tag("tool"), tool_call_id: Schema.String, content: Schema.String })
])
type Message = typeof Message.Type

const Body = Schema.Struct({
  model: Schema.String,
  stream: Schema.optionalKey(Schema.Boolean),
  stream_options: Schema.optionalKey(Schema.Struct({ include_usage: Schema.Boolean })),
  messages: Schema.NonEmptyArray(Message),
  tools: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        type: Schema.tag("function"),
        function: Schema.Struct({
          name: Schema.String,
          description: Schema.optionalKey(Schema.String),
          parameters: Schema.JsonObject
        })
      })
    )
  ),
  tool_choice: Schema.optionalKey(Schema.Json),
  response_format: Schema.optionalKey(Schema.Json)
})
const decode = Schema.decodeUnknownSync(Body, { onExcessProperty: "error", errors: "all" })

const check = ({ messages, tools = [] }: typeof Body.Type): void => {
  let waiting: Array<string> = []
  let before = ""
  for (const message of messages) {
    if (message.role === "tool") {
      if (!waiting.includes(message.tool_call_id)) {
        refuse("messages with role 'tool' must be a response to a preceding message with 'tool_calls'.")
      }
      waiting = waiting.filter((id) => id !== message.tool_call_id)
      before = message.role
      continue
    }
    if (waiting.length > 0) {
      refuse(
        `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id': ${waiting.join(", ")}`
      )
    }
    if (message.role === "user" && before === "user") refuse("Conversation roles must alternate user/assistant")
    before = message.role
    if (message.role !== "assistant") continue
    const { content, tool_calls = [] } = message
    if (tool_calls.length === 0 && (content ?? "") === "") refuse("an assistant message needs content or tool_calls")
    for (const { function: called } of tool_calls) checkName(called.name, 64)
    waiting = tool_calls.map(({ id }) => id)
  }
  if (waiting.length > 0) refuse(`no tool messages for ${waiting.join(", ")}`)
  for (const { function: tool } of tools) checkName(tool.name, 64)
}

const turnsOf = (messages: ReadonlyArray<Message>): ReadonlyArray<Turn> => {
  const turns: Array<Turn> = []
  for (const message of messages) {
    const last = turns.at(-1)
    if (message.role === "system") turns.push({ role: "system", text: message.content })
    else if (message.role === "user") {
      const parts =
        typeof message.content === "string" ? [{ type: "text", text: message.content } as const] : message.content
      turns.push({
        role: "user",
        texts: parts.flatMap((part) => (part.type === "text" ? [part.text] : [])),
        images: parts.flatMap((part) => (part.type === "image_url" ? [part.image_url.url.replace(/^.*,/, "")] : []))
      })
    } else if (message.role === "assistant") {
      const { content, reasoning_content: thought, tool_calls = [] } = message
      turns.push({
        role: "assistant",
        blocks: [
          ...(thought === undefined ? [] : [{ type: "thought", text: thought } as const]),
          ...((content ?? "") === "" ? [] : [{ type: "text", text: content ?? "" } as const]),
          ...tool_calls.map(({ function: { arguments: args, name }, id }): Block => ({
            type: "call",
            id,
            name,
            args: JSON.stringify(args)
          }))
        ]
      })
    } else {
      const result = { id: message.tool_call_id, text: message.content }
      if (last?.role === "results") turns[turns.length - 1] = { role: "results", results: [...last.results, result] }
      else turns.push({ role: "results", results: [result] })
    }
  }
  return turns
}

const stepsOf = (blocks: ReadonlyArray<Block>): ReadonlyArray<Step> => {
  let calls = 0
  return blocks.flatMap((block) => {
    switch (block.type) {
      case "text":
        return ModelServer.words(...pieces(block.text))
      case "thought":
        return ModelServer.thinks(...pieces(block.text))
      // call
      default:
        return ModelServer.toolCall(calls++, block.id, block.name, block.args)
    }
  })
}

const stops: Readonly<Record<Ending, string>> = {
  stop: "stop",
  calls: "tool_calls",
  length: "length",
  filtered: "content_filter"
}

const usage = {
  prompt_tokens: TAKEN.input,
  completion_tokens: TAKEN.output,
  total_tokens: TAKEN.input + TAKEN.output,
  prompt_tokens_details: { cached_tokens: TAKEN.cached },
  completion_tokens_details: { reasoning_tokens: TAKEN.reasoning }
}

const refusal: Wire["refusal"] = (status, message, headers = {}, kind) => ({
  status,
  headers,
  body: JSON.stringify({ error: { message, type: "invalid_request_error", param: null, code: kind ?? null } })
})

export const chatWire: Wire = {
  provider: "openai-compatible",
  model: "scripted",
  path: "/chat/completions",
  answer: (blocks, ending = blocks.some(({ type }) => type === "call") ? "calls" : "stop") => [
    ...stepsOf(blocks),
    ModelServer.chunk({}, stops[ending], usage),
    ModelServer.data("[DONE]")
  ],
  unfinished: stepsOf,
  errorEvent: (kind) =>
    ModelServer.data(
      JSON.stringify({
        error:
          kind === "overloaded"
            ? { message: "The server is overloaded", type: "server_error", code: 503 }
            : { message: "Rate limit reached", type: "requests", code: "rate_limit_exceeded" }
      })
    ),
  refusal,
  tooLong: refusal(
    400,
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    {},
    "context_length_exceeded"
  ),
  whole: (content) => ({
    status: 200,
    body: JSON.stringify({
      id: "1",
      created: 1,
      model: "scripted",
      choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
      usage
    })
  }),
  hear: (raw) => {
    const body = decode(raw)
    check(body)
    return {
      turns: turnsOf(body.messages),
      tools: (body.tools ?? []).map((tool) => tool.function.name),
      schema: body.response_format
    }
  }
}
