/**
 * Which models are configured, from the words of the environment: `openai/gpt-5`, `ollama/qwen3`,
 * `openai-compatible/any` with an address. What is missing is named, with what to set.
 */
import { type Redacted, Result } from "effect"
import type { Price } from "./Usage.ts"

export const providers = {
  openai: { title: "OpenAI", key: "OPENAI_API_KEY" },
  anthropic: { title: "Anthropic", key: "ANTHROPIC_API_KEY" },
  ollama: { title: "Ollama", url: "http://127.0.0.1:11434/v1" },
  lmstudio: { title: "LM Studio", url: "http://127.0.0.1:1234/v1" },
  llamacpp: { title: "llama.cpp", url: "http://127.0.0.1:8080/v1" },
  vllm: { title: "vLLM", url: "http://127.0.0.1:8000/v1" },
  "openai-compatible": { title: "any endpoint that speaks OpenAI's chat completions" }
} as const satisfies Readonly<Record<string, { title: string; key?: string; url?: string }>>

export type Provider = keyof typeof providers

/** One model, with all that is needed to ask it. */
export interface ModelSettings {
  readonly provider: Provider
  /** As the provider calls it. */
  readonly model: string
  /** `provider/model`. */
  readonly name: string
  /** Absent: the provider's own address. */
  readonly url?: string | undefined
  readonly key?: Redacted.Redacted | undefined
  readonly price?: Price | undefined
}

/** What the environment says, each by the name of its variable. */
export interface Given {
  readonly ESPALIER_MODEL: string | undefined
  readonly ESPALIER_MODEL_FALLBACK: ReadonlyArray<string>
  readonly ESPALIER_MODEL_URL: string | undefined
  readonly ESPALIER_MODEL_KEY: Redacted.Redacted | undefined
  readonly OPENAI_API_KEY: Redacted.Redacted | undefined
  readonly ANTHROPIC_API_KEY: Redacted.Redacted | undefined
  readonly ESPALIER_MODEL_PRICES: Readonly<Record<string, Price>>
}

const known = Object.keys(providers)

const isProvider = (name: string): name is Provider => known.includes(name)

const hasKey = (provider: Provider): provider is "openai" | "anthropic" => "key" in providers[provider]

const ownUrl = (provider: Provider): string | undefined => {
  const preset = providers[provider]
  return "url" in preset ? preset.url : undefined
}

const one = (
  variable: string,
  name: string,
  given: Given,
  /** Whose provider the address and the key of `ESPALIER_MODEL_…` are for. */
  first: string
): Result.Result<ModelSettings, string> => {
  const slash = name.indexOf("/")
  const provider = name.slice(0, Math.max(0, slash))
  const model = name.slice(slash + 1)
  if (slash <= 0 || model === "") {
    return Result.fail(
      `${variable}: "${name}" is not provider/model; write it like openai/gpt-5, anthropic/claude-sonnet-4-5 or ollama/qwen3`
    )
  }
  if (!isProvider(provider)) {
    return Result.fail(`${variable}: there is no provider "${provider}"; there are ${known.join(", ")}`)
  }
  const isFirst = provider === first
  const url = (isFirst ? given.ESPALIER_MODEL_URL : undefined) ?? ownUrl(provider)
  if (url !== undefined && !(/^https?:\/\//.test(url) && URL.canParse(url))) {
    return Result.fail(`ESPALIER_MODEL_URL: "${url}" is no address; write one like http://127.0.0.1:8000/v1`)
  }
  if (provider === "openai-compatible" && url === undefined) {
    return Result.fail(
      `${variable} is ${name}, and nothing says where that is; set ESPALIER_MODEL_URL to its address, like http://127.0.0.1:8000/v1`
    )
  }
  const ownKey = hasKey(provider) ? given[providers[provider].key] : undefined
  const key = (isFirst ? given.ESPALIER_MODEL_KEY : undefined) ?? ownKey
  if (hasKey(provider) && key === undefined) {
    const names = isFirst ? `${providers[provider].key} or ESPALIER_MODEL_KEY` : providers[provider].key
    return Result.fail(`${variable} is ${name}, and there is no key for it; set ${names}`)
  }
  return Result.succeed({ provider, model, name, url, key, price: given.ESPALIER_MODEL_PRICES[name] })
}

/** The models in the order in which they are asked; none when none is configured, or `offline` is. */
export const configured = (given: Given): Result.Result<ReadonlyArray<ModelSettings>, string> => {
  const first = given.ESPALIER_MODEL?.trim() ?? ""
  const rest = given.ESPALIER_MODEL_FALLBACK.map((name) => name.trim()).filter((name) => name !== "")
  if (first === "" || first === "offline") {
    const [stray] = rest
    return stray === undefined
      ? Result.succeed([])
      : Result.fail(`ESPALIER_MODEL_FALLBACK is ${stray}, and nothing comes before it; set ESPALIER_MODEL`)
  }
  const provider = first.split("/", 1)[0] ?? ""
  return Result.all([
    one("ESPALIER_MODEL", first, given, provider),
    ...rest.map((name) => one("ESPALIER_MODEL_FALLBACK", name, given, provider))
  ])
}
