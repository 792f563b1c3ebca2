/** What a model's answer took: tokens as its provider counted them, and money where a price is known. */
import { Schema } from "effect"

const Tokens = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

export const Usage = Schema.Struct({
  /** All that was read, from a cache or not. */
  inputTokens: Tokens,
  /** All that was written, reasoning included. */
  outputTokens: Tokens,
  /** Of the input, what the provider had in its cache. */
  cachedTokens: Schema.optionalKey(Tokens),
  /** Of the input, what the provider put into its cache, where it charges for that. */
  cacheWriteTokens: Schema.optionalKey(Tokens),
  /** Of the output, what was thought and not said. */
  reasoningTokens: Schema.optionalKey(Tokens),
  /** In the currency of the prices that were configured; absent where the model has none. */
  cost: Schema.optionalKey(Schema.Finite)
})
export type Usage = typeof Usage.Type

const Money = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** What a million tokens cost. */
export const Price = Schema.Struct({
  input: Money,
  output: Money,
  /** For input that was read from the provider's cache (default: as `input`). */
  cached: Schema.optionalKey(Money),
  /** For input that was written to the provider's cache (default: as `input`). */
  cacheWrite: Schema.optionalKey(Money)
})
export type Price = typeof Price.Type

export const none: Usage = { inputTokens: 0, outputTokens: 0 }

const MILLION = 1_000_000

export const costOf = (
  { cachedTokens = 0, cacheWriteTokens = 0, inputTokens, outputTokens }: Usage,
  { cacheWrite, cached, input, output }: Price
): number => {
  const read = Math.min(cachedTokens, inputTokens)
  const written = Math.min(cacheWriteTokens, inputTokens - read)
  return (
    ((inputTokens - read - written) * input +
      read * (cached ?? input) +
      written * (cacheWrite ?? input) +
      outputTokens * output) /
    MILLION
  )
}

const sum = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : a + b

export const add = (a: Usage, b: Usage): Usage => {
  const cachedTokens = sum(a.cachedTokens, b.cachedTokens)
  const cacheWriteTokens = sum(a.cacheWriteTokens, b.cacheWriteTokens)
  const reasoningTokens = sum(a.reasoningTokens, b.reasoningTokens)
  const cost = sum(a.cost, b.cost)
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    ...(cachedTokens === undefined ? undefined : { cachedTokens }),
    ...(cacheWriteTokens === undefined ? undefined : { cacheWriteTokens }),
    ...(reasoningTokens === undefined ? undefined : { reasoningTokens }),
    ...(cost === undefined ? undefined : { cost })
  }
}
