/** A request of `effect/ai` in the words of a Vercel AI SDK provider (`LanguageModelV4`). */
import type {
  LanguageModelV4CallOptions,
  LanguageModelV4FilePart,
  LanguageModelV4FunctionTool,
  LanguageModelV4Message,
  LanguageModelV4Prompt,
  LanguageModelV4ProviderTool,
  LanguageModelV4ToolChoice,
  LanguageModelV4ToolResultPart,
  SharedV4FileData,
  SharedV4ProviderOptions
} from "@ai-sdk/provider"
import { Schema } from "effect"
import { AiError, type LanguageModel, type Prompt, Tool } from "effect/ai"
import { isOwn } from "../../../services/model/ownMetadata.ts"
import * as promptCache from "./promptCache.ts"
import { rootObject } from "./toolSchema.ts"
import { wellFormed } from "./wellFormed.ts"

type FunctionTool = LanguageModelV4FunctionTool
type Options = { readonly providerOptions?: SharedV4ProviderOptions }

const isJsonObject = Schema.is(Schema.JsonObject)
const isJson = Schema.is(Schema.Json)

/** What providers attached to a part goes back to them as it came. */
const optionsOf = ({ options }: { readonly options: Prompt.ProviderOptions }): Options => {
  const entries = Object.entries(options).flatMap(([provider, value]) =>
    !isOwn(provider) && isJsonObject(value) ? [[provider, value] as const] : []
  )
  return entries.length === 0 ? {} : { providerOptions: Object.fromEntries(entries) }
}

const fileData = (data: Prompt.FilePart["data"]): SharedV4FileData =>
  data instanceof URL ? { type: "url", url: data } : { type: "data", data }

const filePart = (part: Prompt.FilePart): LanguageModelV4FilePart => ({
  type: "file",
  mediaType: part.mediaType,
  data: fileData(part.data),
  ...(part.fileName === undefined ? undefined : { filename: part.fileName }),
  ...optionsOf(part)
})

const resultPart = (part: Prompt.ToolResultPart): LanguageModelV4ToolResultPart => {
  const { isFailure, result } = part
  const value = wellFormed(isJson(result) ? result : (JSON.stringify(result) ?? "nothing"))
  const output: LanguageModelV4ToolResultPart["output"] =
    part.modelOutput !== undefined
      ? {
          type: "content",
          value: part.modelOutput.map((piece) =>
            piece.type === "text" ? { type: "text", text: piece.text.toWellFormed() } : filePart(piece)
          )
        }
      : typeof value === "string"
        ? { type: isFailure ? "error-text" : "text", value }
        : { type: isFailure ? "error-json" : "json", value }
  return { type: "tool-result", toolCallId: part.id, toolName: part.name, output, ...optionsOf(part) }
}

type AssistantContent = Extract<LanguageModelV4Message, { role: "assistant" }>["content"]

const assistantContent = (parts: ReadonlyArray<Prompt.AssistantMessagePart>): AssistantContent =>
  parts.flatMap((part): AssistantContent => {
    switch (part.type) {
      case "text":
        return [{ type: "text", text: part.text.toWellFormed(), ...optionsOf(part) }]
      case "reasoning":
        return [{ type: "reasoning", text: part.text.toWellFormed(), ...optionsOf(part) }]
      case "file":
        return [filePart(part)]
      case "tool-call":
        return [
          {
            type: "tool-call",
            toolCallId: part.id,
            toolName: part.name,
            input: isJson(part.params) ? wellFormed(part.params) : part.params,
            ...(part.providerExecuted ? { providerExecuted: true } : undefined),
            ...optionsOf(part)
          }
        ]
      case "tool-result":
        return [resultPart(part)]
      default:
        return []
    }
  })

const message = (message: Prompt.Message): LanguageModelV4Message => {
  const options = optionsOf(message)
  switch (message.role) {
    case "system":
      return { role: "system", content: message.content.toWellFormed(), ...options }
    case "user":
      return {
        role: "user",
        content: message.content.map((part) =>
          part.type === "text" ? { type: "text", text: part.text.toWellFormed(), ...optionsOf(part) } : filePart(part)
        ),
        ...options
      }
    case "assistant":
      return { role: "assistant", content: assistantContent(message.content), ...options }
    // tool
    default:
      return {
        role: "tool",
        content: message.content.flatMap((part) => (part.type === "tool-result" ? [resultPart(part)] : [])),
        ...options
      }
  }
}

/** What was said more than once without an answer is one message: the templates of many models take no two in a row. */
const promptOf = ({ content }: Prompt.Prompt): LanguageModelV4Prompt => {
  const prompt: Array<LanguageModelV4Message> = []
  for (const next of content.map(message)) {
    const last = prompt.at(-1)
    const isMore = last?.role === "user" && next.role === "user"
    if (isMore && last.providerOptions === undefined && next.providerOptions === undefined) {
      prompt[prompt.length - 1] = { role: "user", content: [...last.content, ...next.content] }
    } else prompt.push(next)
  }
  return prompt
}

const schemas = new WeakMap<Tool.Any, FunctionTool["inputSchema"]>()

/** Made once for each tool: a session offers the same ones in every round. */
const schemaOf = (tool: Tool.Any): FunctionTool["inputSchema"] => {
  let schema = schemas.get(tool)
  if (schema === undefined) {
    schema = rootObject(Tool.getJsonSchema(tool))
    schemas.set(tool, schema)
  }
  return schema
}

const toolOf = (tool: Tool.Any): FunctionTool | LanguageModelV4ProviderTool => {
  if (Tool.isProviderDefined(tool)) return { type: "provider", id: tool.id, name: tool.providerName, args: tool.args }
  const description = Tool.getDescription(tool)
  const strict = Tool.getStrictMode(tool)
  return {
    type: "function",
    name: tool.name,
    ...(description === undefined ? undefined : { description }),
    inputSchema: schemaOf(tool),
    ...(strict === undefined ? undefined : { strict })
  }
}

const toolsOf = ({
  toolChoice,
  tools
}: LanguageModel.ProviderOptions): Pick<LanguageModelV4CallOptions, "tools" | "toolChoice"> => {
  if (tools.length === 0) return {}
  if (typeof toolChoice === "object" && "oneOf" in toolChoice) {
    const offered = tools.filter(({ name }) => toolChoice.oneOf.includes(name))
    return { tools: offered.map(toolOf), toolChoice: { type: toolChoice.mode ?? "auto" } }
  }
  const choice: LanguageModelV4ToolChoice =
    typeof toolChoice === "object" ? { type: "tool", toolName: toolChoice.tool } : { type: toolChoice }
  return { tools: tools.map(toolOf), toolChoice: choice }
}

const formatOf = (
  { responseFormat }: LanguageModel.ProviderOptions,
  transformer: LanguageModel.CodecTransformer
): Pick<LanguageModelV4CallOptions, "responseFormat"> => {
  if (responseFormat.type === "text") return {}
  try {
    const schema = Tool.getJsonSchemaFromSchema(responseFormat.schema, { transformer })
    return { responseFormat: { type: "json", name: responseFormat.objectName, schema } }
  } catch (error) {
    throw new AiError.UnsupportedSchemaError({ description: error instanceof Error ? error.message : String(error) })
  }
}

/** Who is asked. */
export interface Asking {
  /** As the Vercel AI SDK names it. */
  readonly provider: string
  readonly providerOptions: SharedV4ProviderOptions | undefined
  readonly codecTransformer: LanguageModel.CodecTransformer
  readonly maxOutputTokens?: number | undefined
}

export const callOptions = (
  options: LanguageModel.ProviderOptions,
  abortSignal: AbortSignal,
  { codecTransformer, maxOutputTokens, provider, providerOptions }: Asking
): LanguageModelV4CallOptions => ({
  ...promptCache.marked({ prompt: promptOf(options.prompt), ...toolsOf(options) }, provider),
  ...formatOf(options, codecTransformer),
  abortSignal,
  ...(maxOutputTokens === undefined ? undefined : { maxOutputTokens }),
  ...(providerOptions === undefined ? undefined : { providerOptions })
})
