/**
 * What is kept of a model's answer besides its text and its calls: which model gave it, what it took, and what has to
 * travel back to the provider with the conversation.
 *
 * Providers sign their reasoning and number their parts, and take a conversation back only as they gave it. So the
 * parts are kept in their order, with what the provider attached to each; text and calls are only pointed to.
 */
import { Schema } from "effect"
import { Usage } from "./Usage.ts"

/** By provider: signatures, encrypted reasoning, ids of its own. */
export const PartOptions = Schema.JsonObject
export type PartOptions = typeof PartOptions.Type

export const AnswerPart = Schema.TaggedUnion({
  Reasoning: { text: Schema.String, options: Schema.optionalKey(PartOptions) },
  /** The next `length` characters of the text. */
  Text: { length: Schema.Int, options: Schema.optionalKey(PartOptions) },
  /** The next of the calls. */
  Call: { options: Schema.optionalKey(PartOptions) }
})
export type AnswerPart = typeof AnswerPart.Type

export const ModelAnswer = Schema.Struct({
  /** `provider/model`. */
  model: Schema.optionalKey(Schema.String),
  usage: Usage,
  /** Absent where nothing needs to travel back. */
  parts: Schema.optionalKey(Schema.Array(AnswerPart))
})
export type ModelAnswer = typeof ModelAnswer.Type

/** Characters of reasoning and of what is attached to parts. */
export const MAX_PARTS = 256 * 1024

const sizeOf = (part: AnswerPart): number =>
  (part._tag === "Reasoning" ? part.text.length : 0) +
  (part.options === undefined ? 0 : JSON.stringify(part.options).length)

export const sizeOfParts = (parts: ReadonlyArray<AnswerPart>): number =>
  parts.reduce((size, part) => size + sizeOf(part), 0)

/** Only as a whole, and only where there is something to it: a provider may refuse what was torn apart. */
export const worthKeeping = (parts: ReadonlyArray<AnswerPart>): ReadonlyArray<AnswerPart> | undefined =>
  parts.some((part) => part._tag === "Reasoning" || part.options !== undefined) && sizeOfParts(parts) <= MAX_PARTS
    ? parts
    : undefined
