/**
 * What a model is told of a tool's result, where the result has the form of those of MCP servers: parts in `content`, and
 * `structured` beside them.
 *
 * As text the data of pictures, sounds and files tells a model nothing and costs it thousands of tokens, so it is told
 * what there is, and is shown pictures as pictures where it can see them. What is structured it is told once: servers
 * say it a second time as text, for clients that do not know of it.
 */
import { Schema } from "effect"
import { MessageAttachment } from "../session/MessageAttachment.ts"

type Picture = Extract<MessageAttachment, { readonly _tag: "Image" }>

const isObject = (value: Schema.Json | undefined): value is Schema.JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const partsOf = (result: Schema.JsonObject): ReadonlyArray<Schema.Json> => {
  const { content } = result
  return Array.isArray(content) ? content : []
}

const isMedia = (part: Schema.Json): part is Schema.JsonObject & { readonly data: string } =>
  isObject(part) &&
  typeof part["data"] === "string" &&
  (part["type"] === "image" || part["type"] === "audio" || part["type"] === "resource")

const isPicture = Schema.is(MessageAttachment.cases.Image)

/** The pictures among it that a model can be shown. */
export const picturesOf = (result: Schema.Json): ReadonlyArray<Picture> =>
  (isObject(result) ? partsOf(result) : []).flatMap((part) => {
    if (!isMedia(part)) return []
    const picture = { _tag: "Image", mediaType: part["mimeType"], data: part.data }
    return isPicture(picture) ? [picture] : []
  })

/** Equal values have equal text, in whatever order their keys stand. */
const ordered = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value

const isSaidTwice = (part: Schema.Json, structured: string | undefined): boolean => {
  if (structured === undefined || !isObject(part) || part["type"] !== "text") return false
  const { text } = part
  if (typeof text !== "string" || !/^\s*\{/.test(text)) return false
  try {
    return JSON.stringify(JSON.parse(text), ordered) === structured
  } catch {
    return false
  }
}

const tell = (result: Schema.JsonObject): Schema.Json => {
  const parts = partsOf(result)
  const { structured } = result
  const once = isObject(structured) ? JSON.stringify(structured, ordered) : undefined
  const content = parts.flatMap((part): ReadonlyArray<Schema.Json> => {
    if (isSaidTwice(part, once)) return []
    if (!isMedia(part)) return [part]
    const { data, ...rest } = part
    return [{ ...rest, omitted: `${Math.floor((data.length * 3) / 4)} bytes, which are not text` }]
  })
  return content.every((part, at) => part === parts[at]) && content.length === parts.length
    ? result
    : { ...result, content }
}

/** A turn tells the same results again with each of its steps. */
const told = new WeakMap<Schema.JsonObject, Schema.Json>()

/** What of it is told as text. */
export const toldOfResult = (result: Schema.Json): Schema.Json => {
  if (!isObject(result) || partsOf(result).length === 0) return result
  const known = told.get(result) ?? tell(result)
  told.set(result, known)
  return known
}
