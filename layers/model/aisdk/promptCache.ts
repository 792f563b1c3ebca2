/**
 * Marks up to where Anthropic keeps a request in its cache, which it does nowhere by itself: without marks every step of a
 * turn pays for the whole conversation again, at ten times the price of reading it from the cache.
 *
 * A mark after the instructions holds them and the tools for all sessions that share them. One on the newest message
 * holds the conversation for the next step, and one on the message before it finds what the step before left there: the
 * provider looks back from a mark over twenty blocks and no further, and one step may bring more than that.
 */
import type { LanguageModelV4Message, LanguageModelV4Prompt, SharedV4ProviderOptions } from "@ai-sdk/provider"

const MARK: SharedV4ProviderOptions = { anthropic: { cacheControl: { type: "ephemeral" } } }

const marked = <Message extends LanguageModelV4Message>(message: Message): Message => ({
  ...message,
  providerOptions: {
    ...message.providerOptions,
    anthropic: { ...message.providerOptions?.["anthropic"], ...MARK["anthropic"] }
  }
})

const isMarked = ({ content, providerOptions }: LanguageModelV4Message): boolean =>
  [{ providerOptions }, ...(typeof content === "string" ? [] : content)].some(
    ({ providerOptions: options }) => options?.["anthropic"]?.["cacheControl"] !== undefined
  )

/** `provider` as the Vercel AI SDK names it. A prompt that has marks already is left as it is. */
export const cached = (prompt: LanguageModelV4Prompt, provider: string): LanguageModelV4Prompt => {
  if (!/\banthropic\b/.test(provider) || prompt.some(isMarked)) return prompt
  const system = prompt.findLastIndex(({ role }) => role === "system")
  // What is said to the model: its own words carry no mark where they end in reasoning.
  const told = prompt.flatMap(({ role }, index) => (role === "user" || role === "tool" ? [index] : []))
  const at = new Set([system, ...told.slice(-2)])
  return prompt.map((message, index) => (at.has(index) ? marked(message) : message))
}
