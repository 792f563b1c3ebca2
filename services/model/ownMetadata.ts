/** What adapters tell in the metadata of `effect/ai` that its own words have no place for: `{ espalier: { … } }`. */
import type { Schema } from "effect"

const OWN = "espalier"

export interface Own {
  /** Of a reason to fail: a state that `effect/ai` has no reason of its own for. */
  readonly code?: "model_stalled" | "model_unavailable" | "context_too_long"
  /** Of a reason to fail: milliseconds after which the provider may be asked again. */
  readonly retryAfter?: number
  /** Of a finished answer: `provider/model`. */
  readonly model?: string
  /** Of a finished answer: what it cost. */
  readonly cost?: number
}

type Metadata = Readonly<Record<string, Schema.Json>>

export const isOwn = (provider: string): boolean => provider === OWN

export const write = (own: Own): { readonly [OWN]: { [Name in keyof Own]: Own[Name] } } => ({ [OWN]: own })

export const read = (metadata: Metadata): Own => {
  const own = metadata[OWN]
  if (typeof own !== "object" || own === null) return {}
  const code = "code" in own ? own["code"] : undefined
  const retryAfter = "retryAfter" in own ? own["retryAfter"] : undefined
  const model = "model" in own ? own["model"] : undefined
  const cost = "cost" in own ? own["cost"] : undefined
  return {
    ...(code === "model_stalled" || code === "model_unavailable" || code === "context_too_long" ? { code } : undefined),
    ...(typeof retryAfter === "number" ? { retryAfter } : undefined),
    ...(typeof model === "string" ? { model } : undefined),
    ...(typeof cost === "number" ? { cost } : undefined)
  }
}
