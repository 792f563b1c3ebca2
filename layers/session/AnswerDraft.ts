/** An answer while it comes in: its text, its calls, and what has to travel back with them. */
import type { Response } from "effect/ai"
import { type AnswerPart, type ModelAnswer, type PartOptions, worthKeeping } from "../../services/model/ModelAnswer.ts"
import { isOwn, read } from "../../services/model/ownMetadata.ts"
import { none, type Usage } from "../../services/model/Usage.ts"
import { usageOf } from "../../services/model/usageOf.ts"
import type { OfferedTools } from "./Prompt.ts"

export type StreamPart = Response.StreamPart<OfferedTools["tools"], "deferred">

export interface WantedCall {
  readonly name: string
  readonly params: unknown
}

interface Growing {
  readonly type: "Reasoning" | "Text" | "Call"
  text: string
  options: PartOptions | undefined
}

const finished = ({ options, text, type }: Growing): AnswerPart => {
  const attached = options === undefined ? undefined : { options }
  if (type === "Reasoning") return { _tag: "Reasoning", text, ...attached }
  return type === "Text" ? { _tag: "Text", length: text.length, ...attached } : { _tag: "Call", ...attached }
}

export class AnswerDraft {
  text = ""
  /** Characters of text and reasoning. */
  size = 0
  reason: Response.FinishReason | undefined
  readonly calls: Array<WantedCall> = []
  #model: string | undefined
  #usage: Usage = none
  readonly #parts: Array<Growing> = []
  /** Those that are under way, by the provider's id. */
  readonly #open = new Map<string, Growing>()

  /** Takes the next part, and gives the text that it adds. */
  add(part: StreamPart): string {
    switch (part.type) {
      case "text-delta": {
        this.#grow("Text", part.id, part.metadata, part.delta)
        this.text += part.delta
        return part.delta
      }
      case "text-start":
      case "text-end":
        this.#grow("Text", part.id, part.metadata)
        break
      case "reasoning-delta":
        this.#grow("Reasoning", part.id, part.metadata, part.delta)
        break
      case "reasoning-start":
      case "reasoning-end":
        this.#grow("Reasoning", part.id, part.metadata)
        break
      case "tool-call": {
        // What the provider runs itself is settled by the provider.
        if (part.providerExecuted) break
        const call: Growing = { type: "Call", text: "", options: undefined }
        attach(call, part.metadata)
        this.#parts.push(call)
        this.calls.push({ name: part.name, params: part.params })
        break
      }
      case "response-metadata":
        this.#model ??= part.modelId
        break
      case "finish": {
        const { cost, model } = read(part.metadata)
        this.reason = part.reason
        this.#usage = usageOf(part.usage, cost)
        this.#model = model ?? this.#model
        break
      }
      default:
        break
    }
    return ""
  }

  /** What is to be journaled of it, if there is anything to tell. */
  get answer(): ModelAnswer | undefined {
    const told = this.#parts.filter(
      ({ options, text, type }) => type === "Call" || text !== "" || options !== undefined
    )
    const parts = worthKeeping(told.map(finished))
    const { inputTokens, outputTokens } = this.#usage
    if (parts === undefined && inputTokens === 0 && outputTokens === 0) return undefined
    return {
      ...(this.#model === undefined ? undefined : { model: this.#model }),
      usage: this.#usage,
      ...(parts === undefined ? undefined : { parts })
    }
  }

  #grow(type: "Text" | "Reasoning", id: string, metadata: Response.ProviderMetadata, delta = "") {
    const key = `${type}:${id}`
    let part = this.#open.get(key)
    if (part === undefined) {
      part = { type, text: "", options: undefined }
      this.#open.set(key, part)
      this.#parts.push(part)
    }
    part.text += delta
    this.size += delta.length
    attach(part, metadata)
  }
}

/** What a provider tells later of a part stands for what it told of it before. */
const attach = (part: Growing, metadata: Response.ProviderMetadata): void => {
  for (const [provider, told] of Object.entries(metadata)) {
    if (!isOwn(provider) && told !== null) part.options = { ...part.options, [provider]: told }
  }
}
