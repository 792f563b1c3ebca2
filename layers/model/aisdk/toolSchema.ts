/**
 * The parameters of a tool as providers take them: an object at the root, and none of the words there that join schemas.
 * They refuse a request for one tool that has them, and servers of MCP have many. Such alternatives are folded into the
 * root: a model is shown every argument that any of them knows, and what it calls with is checked by the whole schema.
 */
import type { LanguageModelV4FunctionTool } from "@ai-sdk/provider"
import { Option, Schema } from "effect"

type JsonObject = Schema.JsonObject
type InputSchema = LanguageModelV4FunctionTool["inputSchema"]

/** Schemas within schemas that are followed. */
const MAX_DEPTH = 5

const toObject = Schema.decodeUnknownOption(Schema.JsonObject)
const objectOf = (value: unknown): JsonObject => Option.getOrElse(toObject(value), (): JsonObject => ({}))
const namesOf = (value: unknown): ReadonlyArray<string> =>
  Array.isArray(value) ? value.filter((name): name is string => typeof name === "string") : []
const objectsOf = (value: unknown): ReadonlyArray<JsonObject> => (Array.isArray(value) ? value.map(objectOf) : [])

/** What a reference within the same schema stands for. */
const resolve = (schema: JsonObject, root: JsonObject): JsonObject => {
  const { $ref: reference } = schema
  if (typeof reference !== "string") return schema
  const [, place, name] = /^#\/(\$defs|definitions)\/([^/]+)$/.exec(reference) ?? []
  return place === undefined || name === undefined ? schema : { ...objectOf(objectOf(root[place])[name]), ...schema }
}

const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)

/** Either schema of an argument that two alternatives both know. */
const either = (one: JsonObject, other: JsonObject): JsonObject => {
  const known = objectsOf(one["anyOf"])
  if (same(one, other) || known.some((schema) => same(schema, other))) return one
  return Object.keys(one).length === 1 && known.length > 0 ? { anyOf: [...known, other] } : { anyOf: [one, other] }
}

const fold = (given: JsonObject, root: JsonObject, depth: number): JsonObject => {
  const { $ref: _, allOf, anyOf, enum: _enum, not: _not, oneOf, ...own } = resolve(given, root)
  if (depth >= MAX_DEPTH) return own
  const deeper = (schemas: unknown) => objectsOf(schemas).map((schema) => fold(schema, root, depth + 1))
  const all = deeper(allOf)
  const alternatives = [deeper(anyOf), deeper(oneOf)].filter((schemas) => schemas.length > 0)
  const properties: Record<string, Schema.Json> = { ...objectOf(own["properties"]) }
  const required = new Set(namesOf(own["required"]))
  const mine = new Set(Object.keys(properties))
  for (const schema of [...all, ...alternatives.flat()]) {
    for (const [name, argument] of Object.entries(objectOf(schema["properties"]))) {
      const known = properties[name]
      if (mine.has(name)) continue
      properties[name] = known === undefined ? argument : either(objectOf(known), objectOf(argument))
    }
  }
  for (const schema of all) namesOf(schema["required"]).forEach((name) => required.add(name))
  for (const schemas of alternatives) {
    const [first, ...rest] = schemas.map((schema) => namesOf(schema["required"]))
    first?.filter((name) => rest.every((names) => names.includes(name))).forEach((name) => required.add(name))
  }
  return {
    ...own,
    ...(Object.keys(properties).length > 0 && { properties }),
    ...(required.size > 0 && { required: [...required] })
  }
}

const JOINS = ["$ref", "allOf", "anyOf", "oneOf", "enum", "not"]

export const rootObject = (schema: InputSchema): InputSchema => {
  if (schema.type === "object" && !JOINS.some((word) => word in schema)) return schema
  const root = objectOf(schema)
  return { ...(fold(root, root, 0) as InputSchema), type: "object" }
}
