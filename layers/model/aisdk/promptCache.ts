/**
 * Marks up to where Anthropic keeps a request in its cache, which it does nowhere by itself: without marks every step of a
 * turn pays for the whole conversation again, at ten times the price of reading it from the cache.
 *
 * The provider takes four marks. One after the tools and one after the instructions hold these for all sessions that share
 * them. One on the newest message holds the conversation for the next step, and one on the message before it finds
 * what the step before left there: the provider looks back from a mark over twenty blocks and no further, and one
 * step may bring more than that.
 */
import type { LanguageModelV4CallOptions, LanguageModelV4Message, SharedV4ProviderOptions } from "@ai-sdk/provider"

type Request = Pick<LanguageModelV4CallOptions, "prompt" | "tools" | "toolChoice">

interface Markable {
  readonly providerOptions?: SharedV4ProviderOptions | undefined
}

const withMark = ({ providerOptions }: Markable) => ({
  providerOptions: {
    ...providerOptions,
    anthropic: { ...providerOptions?.["anthropic"], cacheControl: { type: "ephemeral" } }
  }
})

const hasMark = ({ providerOptions }: Markable): boolean =>
  providerOptions?.["anthropic"]?.["cacheControl"] !== undefined

const isMarked = (message: LanguageModelV4Message): boolean =>
  hasMark(message) || (typeof message.content !== "string" && message.content.some(hasMark))

/** `provider` as the Vercel AI SDK names it. A prompt that has marks already is left as it is. */
export const marked = (request: Request, provider: string): Request => {
  const { prompt, tools = [] } = request
  if (!/\banthropic\b/.test(provider) || prompt.some(isMarked)) return request
  const system = prompt.findLastIndex(({ role }) => role === "system")
  // What is said to the model: its own words carry no mark where they end in reasoning.
  const told = prompt.flatMap(({ role }, index) => (role === "user" || role === "tool" ? [index] : []))
  const at = new Set([system, ...told.slice(-2)])
  const last = tools.findLastIndex(({ type }) => type === "function")
  return {
    ...request,
    prompt: prompt.map((message, index) => (at.has(index) ? { ...message, ...withMark(message) } : message)),
    ...(last !== -1 && {
      tools: tools.map((tool, index) =>
        index === last && tool.type === "function" ? { ...tool, ...withMark(tool) } : tool
      )
    })
  }
}
