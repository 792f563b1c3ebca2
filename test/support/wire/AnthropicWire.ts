/** Anthropic's Messages API, and what it refuses. */
import { Schema } from "effect"
import type { Step } from "../ScriptedServer.ts"
import {
  type Block,
  checkName,
  checkParameters,
  type Ending,
  isBlank,
  pieces,
  refuse,
  sealOf,
  TAKEN,
  type Turn,
  type Wire
} from "./Wire.ts"

const Marked = { cache_control: Schema.optionalKey(Schema.Struct({ type: Schema.Literals(["ephemeral"]) })) }
const TextBlock = Schema.Struct({ type: Schema.tag("text"), text: Schema.String, ...Marked })
const ImageBlock = Schema.Struct({
  type: Schema.tag("image"),
  source: Schema.Struct({
    type: Schema.Literals(["base64"]),
    media_type: Schema.Literals(["image/png", "image/jpeg", "image/gif", "image/webp"]),
    data: Schema.String
  }),
  ...Marked
})
const Message = Schema.Struct({
  role: Schema.Literals(["user", "assistant"]),
  content: Schema.Array(
    Schema.Union([
      TextBlock,
      ImageBlock,
      Schema.Struct({ type: Schema.tag("thinking"), thinking: Schema.String, signature: Schema.String }),
      Schema.Struct({ type: Schema.tag("redacted_thinking"), data: Schema.String }),
      Schema.Struct({
        type: Schema.tag("tool_use"),
        id: Schema.String.check(Schema.isPattern(/^[a-zA-Z0-9_-]+$/)),
        name: Schema.String,
        input: Schema.Record(Schema.String, Schema.Json),
        ...Marked
      }),
      Schema.Struct({
        type: Schema.tag("tool_result"),
        tool_use_id: Schema.String,
        content: Schema.String,
        is_error: Schema.optionalKey(Schema.Boolean),
        ...Marked
      })
    ])
  )
})
type Message = typeof Message.Type
type Content = Message["content"][number]

const Body = Schema.Struct({
  model: Schema.String,
  max_tokens: Schema.Int.check(Schema.isGreaterThan(0)),
  stream: Schema.optionalKey(Schema.Boolean),
  system: Schema.optionalKey(Schema.Array(TextBlock)),
  messages: Schema.Array(Message),
  tools: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        name: Schema.String,
        description: Schema.optionalKey(Schema.String),
        input_schema: Schema.StructWithRest(Schema.Struct({ type: Schema.Literals(["object"]) }), [
          Schema.Record(Schema.String, Schema.Json)
        ]),
        eager_input_streaming: Schema.optionalKey(Schema.Boolean),
        ...Marked
      })
    )
  ),
  tool_choice: Schema.optionalKey(Schema.Json),
  output_config: Schema.optionalKey(Schema.Struct({ format: Schema.Json }))
})
const decode = Schema.decodeUnknownSync(Body, { onExcessProperty: "error", errors: "all" })

const checkMessage = ({ content, role }: Message, index: number, next: Message | undefined): void => {
  const at = `messages.${index}`
  if (content.length === 0) refuse(`${at}: all messages must have non-empty content`)
  const allowed =
    role === "user" ? ["text", "image", "tool_result"] : ["text", "thinking", "redacted_thinking", "tool_use"]
  for (const block of content) {
    if (!allowed.includes(block.type)) refuse(`${at}: a ${role} message has no ${block.type}`)
    if (block.type === "text" && isBlank(block.text))
      refuse("messages: text content blocks must contain non-whitespace text")
    if (block.type === "thinking" && block.signature !== sealOf(block.thinking)) {
      refuse(`${at}: Invalid \`signature\` in \`thinking\` block`)
    }
    if (block.type === "tool_use") checkName(block.name, 128)
    if (block.type === "image" && Buffer.from(block.source.data, "base64").length === 0)
      refuse("Could not process image")
  }
  const last = content.at(-1)
  if (last?.type === "thinking" || last?.type === "redacted_thinking") {
    refuse(`${at}: The final block in an assistant message cannot be \`thinking\`.`)
  }
  if (role === "assistant") {
    const uses = content.flatMap((block) => (block.type === "tool_use" ? [block.id] : []))
    if (new Set(uses).size !== uses.length) refuse(`${at}: \`tool_use\` ids must be unique`)
    const results = next?.content
      .slice(0, uses.length)
      .map((block) => (block.type === "tool_result" ? block.tool_use_id : ""))
    if (uses.some((id) => results?.includes(id) !== true)) {
      refuse(
        `${at}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${uses.join(", ")}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`
      )
    }
  }
}

const check = (body: typeof Body.Type): void => {
  const { messages, system = [], tools = [] } = body
  if (messages[0]?.role !== "user") refuse('messages: first message must use the "user" role')
  if (messages.at(-1)?.role !== "user")
    refuse("This model does not support assistant message prefill. The conversation must end with a user message.")
  if (system.some(({ text }) => isBlank(text))) refuse("system: text content blocks must contain non-whitespace text")
  for (const [index, message] of messages.entries()) {
    const before = messages[index - 1]
    if (before?.role === message.role) refuse(`messages.${index}: roles must alternate`)
    checkMessage(message, index, messages[index + 1])
    const uses = before?.content.flatMap((block) => (block.type === "tool_use" ? [block.id] : [])) ?? []
    for (const block of message.content) {
      if (block.type === "tool_result" && !uses.includes(block.tool_use_id)) {
        refuse(`messages.${index}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${block.tool_use_id}`)
      }
    }
  }
  if (tools.length === 0 && messages.some(({ content }) => content.some(({ type }) => type === "tool_use"))) {
    refuse("Requests which include `tool_use` or `tool_result` blocks must define tools")
  }
  for (const { input_schema, name } of tools) {
    checkName(name, 128)
    checkParameters(name, input_schema)
  }
  if (new Set(tools.map(({ name }) => name)).size !== tools.length) refuse("tools: Tool names must be unique.")
  const marks = [...system, ...tools, ...messages.flatMap(({ content }) => content)].filter(
    (one) => "cache_control" in one
  )
  if (marks.length > 4) refuse(`A maximum of 4 blocks with cache_control may be provided. Found ${marks.length}.`)
}

const blockOf = (block: Content): ReadonlyArray<Block> =>
  block.type === "text"
    ? [{ type: "text", text: block.text }]
    : block.type === "thinking"
      ? [{ type: "thought", text: block.thinking }]
      : block.type === "tool_use"
        ? [{ type: "call", id: block.id, name: block.name, args: JSON.stringify(block.input) }]
        : []

const turnsOf = ({ content, role }: Message): ReadonlyArray<Turn> => {
  if (role === "assistant") return [{ role, blocks: content.flatMap(blockOf) }]
  const results = content.flatMap((block) =>
    block.type === "tool_result" ? [{ id: block.tool_use_id, text: block.content }] : []
  )
  const texts = content.flatMap((block) => (block.type === "text" ? [block.text] : []))
  const images = content.flatMap((block) => (block.type === "image" ? [block.source.data] : []))
  return [
    ...(results.length === 0 ? [] : [{ role: "results", results } as const]),
    ...(texts.length + images.length === 0 ? [] : [{ role: "user", texts, images } as const])
  ]
}

const event = (type: string, more: object = {}): Step => ({
  _tag: "Raw",
  bytes: `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
})

const opened = (block: Block, index: number): ReadonlyArray<Step> => {
  const start = (content_block: object) => event("content_block_start", { index, content_block })
  const delta = (delta: object) => event("content_block_delta", { index, delta })
  switch (block.type) {
    case "text":
      return [
        start({ type: "text", text: "" }),
        ...pieces(block.text).map((text) => delta({ type: "text_delta", text }))
      ]
    case "thought":
      return [
        start({ type: "thinking", thinking: "", signature: "" }),
        ...pieces(block.text).map((thinking) => delta({ type: "thinking_delta", thinking })),
        delta({ type: "signature_delta", signature: sealOf(block.text) })
      ]
    // call
    default:
      return [
        start({ type: "tool_use", id: block.id, name: block.name, input: {} }),
        delta({ type: "input_json_delta", partial_json: "" }),
        ...pieces(block.args).map((partial_json) => delta({ type: "input_json_delta", partial_json }))
      ]
  }
}

const begin = event("message_start", {
  message: {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "scripted",
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: {
      input_tokens: TAKEN.input - TAKEN.cached - TAKEN.written,
      cache_creation_input_tokens: TAKEN.written,
      cache_read_input_tokens: TAKEN.cached,
      output_tokens: 1
    }
  }
})

const stops: Readonly<Record<Ending, string>> = {
  stop: "end_turn",
  calls: "tool_use",
  length: "max_tokens",
  filtered: "refusal"
}

const usage = { output_tokens: TAKEN.output, output_tokens_details: { thinking_tokens: TAKEN.reasoning } }

const kinds: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  500: "api_error",
  529: "overloaded_error"
}

const errorBody = (type: string, message: string) => ({ type: "error", error: { type, message }, request_id: "req_1" })

const refusal: Wire["refusal"] = (status, message, headers = {}, kind = kinds[status] ?? "invalid_request_error") => ({
  status,
  headers,
  body: JSON.stringify(errorBody(kind, message))
})

export const anthropicWire: Wire = {
  provider: "anthropic",
  model: "claude-sonnet-4-5",
  path: "/messages",
  answer: (blocks, ending = blocks.some(({ type }) => type === "call") ? "calls" : "stop") => [
    begin,
    event("ping"),
    ...blocks.flatMap((block, index) => [...opened(block, index), event("content_block_stop", { index })]),
    event("message_delta", { delta: { stop_reason: stops[ending], stop_sequence: null }, usage }),
    event("message_stop")
  ],
  unfinished: (blocks) => [
    begin,
    ...blocks.flatMap((block, index) =>
      index === blocks.length - 1
        ? opened(block, index)
        : [...opened(block, index), event("content_block_stop", { index })]
    )
  ],
  errorEvent: (kind) =>
    event(
      "error",
      kind === "overloaded"
        ? errorBody("overloaded_error", "Overloaded")
        : errorBody("rate_limit_error", "Number of request tokens has exceeded your limit")
    ),
  refusal,
  tooLong: refusal(400, "prompt is too long: 210000 tokens > 200000 maximum"),
  whole: (text) => ({
    status: 200,
    body: JSON.stringify({
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "scripted",
      content: [{ type: "text", text }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 10, output_tokens: 5 }
    })
  }),
  hear: (raw, headers) => {
    if (typeof headers["x-api-key"] !== "string" || typeof headers["anthropic-version"] !== "string") {
      refuse("x-api-key and anthropic-version are required")
    }
    const body = decode(raw)
    check(body)
    const { messages, output_config, system = [], tools = [] } = body
    return {
      turns: [...system.map(({ text }) => ({ role: "system", text }) as const), ...messages.flatMap(turnsOf)],
      tools: tools.map(({ name }) => name),
      schema: output_config?.format
    }
  }
}
