/** OpenAI's Responses API with nothing stored, and what it refuses. */
import { Schema } from "effect"
import type { Step } from "../ScriptedServer.ts"
import { type Block, checkName, checkParameters, pieces, refuse, sealOf, TAKEN, type Turn, type Wire } from "./Wire.ts"

const CallId = Schema.String.check(Schema.isMaxLength(64))
const UserItem = Schema.Struct({
  role: Schema.tag("user"),
  content: Schema.NonEmptyArray(
    Schema.Union([
      Schema.Struct({ type: Schema.tag("input_text"), text: Schema.String }),
      Schema.Struct({
        type: Schema.tag("input_image"),
        image_url: Schema.String.check(
          Schema.isPattern(/^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}$/)
        )
      })
    ])
  )
})
const Reasoning = Schema.Struct({
  type: Schema.tag("reasoning"),
  id: Schema.String,
  encrypted_content: Schema.String,
  summary: Schema.Array(Schema.Struct({ type: Schema.tag("summary_text"), text: Schema.String }))
})
const Item = Schema.Union([
  Schema.Struct({ role: Schema.Literals(["system", "developer"]), content: Schema.String }),
  UserItem,
  Schema.Struct({ role: Schema.tag("assistant"), content: Schema.String }),
  Reasoning,
  Schema.Struct({
    type: Schema.tag("function_call"),
    call_id: CallId,
    name: Schema.String,
    arguments: Schema.fromJsonString(Schema.Json)
  }),
  Schema.Struct({ type: Schema.tag("function_call_output"), call_id: CallId, output: Schema.String })
])
type Item = typeof Item.Type

const Body = Schema.Struct({
  model: Schema.String,
  stream: Schema.optionalKey(Schema.Boolean),
  store: Schema.Literals([false]),
  include: Schema.Array(Schema.Literals(["reasoning.encrypted_content"])),
  input: Schema.NonEmptyArray(Item),
  tools: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        type: Schema.tag("function"),
        name: Schema.String,
        description: Schema.optionalKey(Schema.String),
        parameters: Schema.StructWithRest(Schema.Struct({ type: Schema.Literals(["object"]) }), [
          Schema.Record(Schema.String, Schema.Json)
        ]),
        strict: Schema.optionalKey(Schema.Boolean)
      })
    )
  ),
  tool_choice: Schema.optionalKey(Schema.Json),
  text: Schema.optionalKey(Schema.Struct({ format: Schema.Json }))
})
const decode = Schema.decodeUnknownSync(Body, { onExcessProperty: "error", errors: "all" })

const isOf = <Type extends string>(item: Item | undefined, type: Type): item is Extract<Item, { type: Type }> =>
  item !== undefined && "type" in item && item.type === type

/** What strict schemas have to be: closed, and every property required. */
const checkStrict = (schema: Schema.Json, at: string): void => {
  if (typeof schema !== "object" || schema === null) return
  if (Array.isArray(schema)) return schema.forEach((one: Schema.Json, index) => checkStrict(one, `${at}.${index}`))
  const { additionalProperties, properties, required = [], type } = schema as Schema.JsonObject
  if (type === "object") {
    const names = Object.keys((properties ?? {}) as Schema.JsonObject)
    if (additionalProperties !== false)
      refuse(`Invalid schema: In context=(${at}), 'additionalProperties' is required to be supplied and to be false.`)
    const missing = names.filter((name) => !(required as ReadonlyArray<Schema.Json>).includes(name))
    if (missing.length > 0)
      refuse(`Invalid schema: In context=(${at}), 'required' is required to include every key: ${missing.join(", ")}`)
  }
  for (const [key, value] of Object.entries(schema)) checkStrict(value, `${at}.${key}`)
}

const check = ({ input, text, tools = [] }: typeof Body.Type): void => {
  const called = new Set<string>()
  const answered = new Set(input.flatMap((item) => (isOf(item, "function_call_output") ? [item.call_id] : [])))
  for (const [index, item] of input.entries()) {
    if (isOf(item, "reasoning")) {
      const next = input[index + 1]
      const isFollowed =
        next !== undefined &&
        (isOf(next, "function_call") || isOf(next, "reasoning") || ("role" in next && next.role === "assistant"))
      if (!isFollowed) refuse(`Item '${item.id}' of type 'reasoning' was provided without its required following item.`)
      if (item.encrypted_content !== sealOf(item.summary.map(({ text }) => text).join(""))) {
        refuse(`The encrypted content for item ${item.id} could not be verified.`)
      }
    } else if (isOf(item, "function_call")) {
      checkName(item.name, 64)
      if (called.has(item.call_id)) refuse(`Duplicate item found with call_id ${item.call_id}.`)
      called.add(item.call_id)
      if (!answered.has(item.call_id)) refuse(`No tool output found for function call ${item.call_id}.`)
    } else if (isOf(item, "function_call_output") && !called.has(item.call_id)) {
      refuse(`No tool call found for function call output with call_id ${item.call_id}.`)
    }
  }
  for (const { name, parameters } of tools) {
    checkName(name, 64)
    checkParameters(name, parameters)
  }
  const format = text?.format as { readonly strict?: boolean; readonly schema?: Schema.Json } | undefined
  if (format?.strict === true) checkStrict(format.schema ?? null, "")
}

/** Items of one side, one after the other, are one turn. */
const turnsOf = (input: ReadonlyArray<Item>): ReadonlyArray<Turn> => {
  const turns: Array<Turn> = []
  const add = (turn: Turn) => {
    const last = turns.at(-1)
    if (last?.role === "assistant" && turn.role === "assistant") {
      turns[turns.length - 1] = { role: "assistant", blocks: [...last.blocks, ...turn.blocks] }
    } else if (last?.role === "results" && turn.role === "results") {
      turns[turns.length - 1] = { role: "results", results: [...last.results, ...turn.results] }
    } else turns.push(turn)
  }
  const says = (block: Block) => add({ role: "assistant", blocks: [block] })
  for (const item of input) {
    if ("role" in item) {
      if (item.role === "user") {
        add({
          role: "user",
          texts: item.content.flatMap((part) => (part.type === "input_text" ? [part.text] : [])),
          images: item.content.flatMap((part) =>
            part.type === "input_image" ? [part.image_url.replace(/^.*,/, "")] : []
          )
        })
      } else if (item.role === "assistant") says({ type: "text", text: item.content })
      else add({ role: "system", text: item.content })
    } else if (item.type === "reasoning") says({ type: "thought", text: item.summary.map(({ text }) => text).join("") })
    else if (item.type === "function_call") {
      says({ type: "call", id: item.call_id, name: item.name, args: JSON.stringify(item.arguments) })
    } else add({ role: "results", results: [{ id: item.call_id, text: item.output }] })
  }
  return turns
}

let sequence = 0
const event = (type: string, more: object): Step => ({
  _tag: "Raw",
  bytes: `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...more })}\n\n`
})

const response = (more: object = {}) => ({
  id: "resp_1",
  object: "response",
  created_at: 1,
  model: "scripted",
  ...more
})

const begin: ReadonlyArray<Step> = [
  event("response.created", { response: response({ status: "in_progress" }) }),
  event("response.in_progress", { response: response({ status: "in_progress" }) })
]

const itemOf = (block: Block, index: number, isDone: boolean): object => {
  switch (block.type) {
    case "text":
      return {
        type: "message",
        id: `msg_${index}`,
        status: isDone ? "completed" : "in_progress",
        role: "assistant",
        content: isDone ? [{ type: "output_text", text: block.text, annotations: [] }] : []
      }
    case "thought":
      return {
        type: "reasoning",
        id: `rs_${index}`,
        summary: isDone && block.text !== "" ? [{ type: "summary_text", text: block.text }] : [],
        encrypted_content: isDone ? sealOf(block.text) : "not-yet"
      }
    // call
    default:
      return {
        type: "function_call",
        id: `fc_${index}`,
        call_id: block.id,
        name: block.name,
        arguments: isDone ? block.args : "",
        status: isDone ? "completed" : "in_progress"
      }
  }
}

const opened = (block: Block, index: number): ReadonlyArray<Step> => {
  const at = { output_index: index }
  const added = event("response.output_item.added", { ...at, item: itemOf(block, index, false) })
  switch (block.type) {
    case "text": {
      const part = { ...at, item_id: `msg_${index}`, content_index: 0 }
      return [
        added,
        event("response.content_part.added", { ...part, part: { type: "output_text", text: "", annotations: [] } }),
        ...pieces(block.text).map((delta) => event("response.output_text.delta", { ...part, delta, logprobs: [] }))
      ]
    }
    case "thought": {
      const part = { ...at, item_id: `rs_${index}`, summary_index: 0 }
      return block.text === ""
        ? [added]
        : [
            added,
            event("response.reasoning_summary_part.added", { ...part, part: { type: "summary_text", text: "" } }),
            ...pieces(block.text).map((delta) => event("response.reasoning_summary_text.delta", { ...part, delta })),
            event("response.reasoning_summary_part.done", { ...part, part: { type: "summary_text", text: block.text } })
          ]
    }
    // call
    default: {
      const part = { ...at, item_id: `fc_${index}` }
      return [
        added,
        ...pieces(block.args).map((delta) => event("response.function_call_arguments.delta", { ...part, delta })),
        event("response.function_call_arguments.done", { ...part, arguments: block.args })
      ]
    }
  }
}

const done = (block: Block, index: number): Step =>
  event("response.output_item.done", { output_index: index, item: itemOf(block, index, true) })

const usage = {
  input_tokens: TAKEN.input,
  input_tokens_details: { cached_tokens: TAKEN.cached },
  output_tokens: TAKEN.output,
  output_tokens_details: { reasoning_tokens: TAKEN.reasoning },
  total_tokens: TAKEN.input + TAKEN.output
}

const refusal: Wire["refusal"] = (status, message, headers = {}, kind) => ({
  status,
  headers,
  body: JSON.stringify({
    error: { message, type: status === 429 ? "requests" : "invalid_request_error", param: null, code: kind ?? null }
  })
})

export const responsesWire: Wire = {
  provider: "openai",
  model: "gpt-5",
  path: "/responses",
  answer: (blocks, ending = "stop") => [
    ...begin,
    ...blocks.flatMap((block, index) => [...opened(block, index), done(block, index)]),
    ending === "length" || ending === "filtered"
      ? event("response.incomplete", {
          response: response({
            status: "incomplete",
            incomplete_details: { reason: ending === "length" ? "max_output_tokens" : "content_filter" },
            usage
          })
        })
      : event("response.completed", { response: response({ status: "completed", incomplete_details: null, usage }) })
  ],
  unfinished: (blocks) => [
    ...begin,
    ...blocks.flatMap((block, index) =>
      index === blocks.length - 1 ? opened(block, index) : [...opened(block, index), done(block, index)]
    )
  ],
  errorEvent: (kind) =>
    kind === "overloaded"
      ? event("error", {
          code: "server_error",
          message: "The server had an error while processing your request.",
          param: null
        })
      : event("response.failed", {
          response: response({
            status: "failed",
            error: { code: "rate_limit_exceeded", message: "Rate limit reached for gpt-5" },
            incomplete_details: null,
            usage: null
          })
        }),
  refusal,
  tooLong: refusal(
    400,
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    {},
    "context_length_exceeded"
  ),
  whole: (text) => ({
    status: 200,
    body: JSON.stringify(
      response({
        status: "completed",
        incomplete_details: null,
        output: [
          {
            type: "message",
            id: "msg_1",
            status: "completed",
            role: "assistant",
            content: [{ type: "output_text", text, annotations: [] }]
          }
        ],
        usage
      })
    )
  }),
  hear: (raw, headers) => {
    if (headers.authorization?.startsWith("Bearer ") !== true) refuse("You didn't provide an API key.")
    const body = decode(raw)
    check(body)
    return { turns: turnsOf(body.input), tools: (body.tools ?? []).map(({ name }) => name), schema: body.text?.format }
  }
}
