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
  cached: Schema.optionalKey(Money)
})
export type Price = typeof Price.Type

export const none: Usage = { inputTokens: 0, outputTokens: 0 }

const MILLION = 1_000_000

export const costOf = ({ cachedTokens = 0, inputTokens, outputTokens }: Usage, price: Price): number => {
  const cached = Math.min(cachedTokens, inputTokens)
  return (
    ((inputTokens - cached) * price.input + cached * (price.cached ?? price.input) + outputTokens * price.output) /
    MILLION
  )
}

const sum = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : a + b

export const add = (a: Usage, b: Usage): Usage => {
  const cachedTokens = sum(a.cachedTokens, b.cachedTokens)
  const reasoningTokens = sum(a.reasoningTokens, b.reasoningTokens)
  const cost = sum(a.cost, b.cost)
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    ...(cachedTokens === undefined ? undefined : { cachedTokens }),
    ...(reasoningTokens === undefined ? undefined : { reasoningTokens }),
    ...(cost === undefined ? undefined : { cost })
  }
}
