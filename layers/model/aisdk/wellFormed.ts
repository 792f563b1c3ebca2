/**
 * Text without halves of characters. Whatever cuts a text by its length may leave one, JSON can say it, and providers
 * refuse the whole request for it, and every one after it.
 */
import type { Schema } from "effect"

const isWellFormed = (value: Schema.Json): boolean => {
  if (typeof value === "string") return value.isWellFormed()
  if (typeof value !== "object" || value === null) return true
  return Array.isArray(value)
    ? value.every(isWellFormed)
    : Object.entries(value).every(([key, inner]) => key.isWellFormed() && isWellFormed(inner))
}

const mend = (value: Schema.Json): Schema.Json => {
  if (typeof value === "string") return value.toWellFormed()
  if (typeof value !== "object" || value === null) return value
  return Array.isArray(value)
    ? value.map(mend)
    : Object.fromEntries(Object.entries(value).map(([key, inner]) => [key.toWellFormed(), mend(inner)]))
}

export const wellFormed = (value: Schema.Json): Schema.Json => (isWellFormed(value) ? value : mend(value))
