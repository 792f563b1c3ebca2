/**
 * Tokens that a model may answer with: set around a request by whoever is told a limit, and passed on by adapters to their
 * providers. `effect/ai` has no place for it. A model that knows nothing of it says as much as it likes.
 */
import { Context } from "effect"

export const MaxOutputTokens = Context.Reference<number | undefined>("espalier/model/MaxOutputTokens", {
  defaultValue: () => undefined
})
