/** A scripted server that speaks OpenAI's chat completions. */
import { Schema } from "effect"
import * as ScriptedServer from "./ScriptedServer.ts"

export type { Reply, Step } from "./ScriptedServer.ts"
export { cut, data, gate, raw, silence, wait } from "./ScriptedServer.ts"

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
  max_tokens: Schema.optionalKey(Schema.Int),
  messages: Schema.Array(Message),
  tools: Schema.optionalKey(Schema.Array(Schema.Struct({ function: Schema.Struct({ name: Schema.String }) }))),
  response_format: Schema.optionalKey(Schema.Unknown)
})
type Body = typeof Body.Type
const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Body))

export type Asked = ScriptedServer.Asked<Body>
/** What a person said last: messages that follow one another come as parts of one. */
export const lastSaid = ({ body }: Asked): string => {
  const content = body.messages.findLast(({ role }) => role === "user")?.content
  if (typeof content === "string") return content
  return (content as ReadonlyArray<{ readonly text: string }> | undefined)?.at(-1)?.text ?? ""
}

export type Script = ScriptedServer.Script<Body>

export const chunk = (delta: unknown, finish: string | null = null, usage?: unknown): ScriptedServer.Step => ({
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

export const words = (...deltas: ReadonlyArray<string>): ReadonlyArray<ScriptedServer.Step> =>
  deltas.map((content) => chunk({ role: "assistant", content }))
export const thinks = (...deltas: ReadonlyArray<string>): ReadonlyArray<ScriptedServer.Step> =>
  deltas.map((reasoning_content) => chunk({ role: "assistant", reasoning_content }))

/** Arguments come in three pieces, as a model writes them. */
export const toolCall = (index: number, id: string, name: string, args: string): ReadonlyArray<ScriptedServer.Step> => {
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

export const finish = (reason = "stop"): ReadonlyArray<ScriptedServer.Step> => [
  chunk({}, reason, usage),
  ScriptedServer.data("[DONE]")
]
export const says = (...deltas: ReadonlyArray<string>): ReadonlyArray<ScriptedServer.Step> => [
  ...words(...deltas),
  ...finish()
]
export const calls = (
  ...wanted: ReadonlyArray<readonly [name: string, args: string]>
): ReadonlyArray<ScriptedServer.Step> => [
  ...wanted.flatMap(([name, args], index) => toolCall(index, `call_${index}`, name, args)),
  ...finish("tool_calls")
]
export const refuses = (
  status: number,
  message = "no",
  headers: Record<string, string> = {}
): ScriptedServer.Reply => ({
  status,
  headers,
  body: JSON.stringify({ error: { message, type: "error", code: null } })
})

export type ModelServer = ScriptedServer.ScriptedServer<Body>

export const make = (script: Script) => ScriptedServer.make(decode, script)

/** The server as a runtime's only model. */
export const models = ({ url }: Pick<ModelServer, "url">) => [
  { provider: "openai-compatible", model: "scripted", name: "openai-compatible/scripted", url } as const
]
