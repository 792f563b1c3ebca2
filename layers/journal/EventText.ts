/**
 * Events as the file has them: JSON text, with values over 64 KiB beside it under the hash of their text. Equal values
 * have one place, so a large result that a worker and its session both tell of is stored once.
 */
import { hash } from "node:crypto"

/** Longest text, in characters, that stays in an event. */
export const LARGE = 64 * 1024

export interface Blob {
  readonly hash: string
  readonly body: string
}

export interface EventText {
  readonly text: string
  readonly blobs: ReadonlyArray<Blob>
}

type Path = ReadonlyArray<string>

/** Begins a text whose large values are elsewhere; JSON text of an event begins with a brace. */
const MARK = "@"

const none: ReadonlyArray<Blob> = []

export const hashOf = (body: string): string => hash("sha256", body, "hex")

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

/** Takes out what is large: properties of the event, and of the outcome it tells of. Both have keys of our own. */
const split = (
  value: Readonly<Record<string, unknown>>,
  place: ReadonlyArray<string>,
  found: Array<{ readonly path: Path; readonly blob: Blob }>
): Record<string, unknown> => {
  const rest: Record<string, unknown> = {}
  for (const [key, property] of Object.entries(value)) {
    const body = JSON.stringify(property)
    if (body === undefined || body.length <= LARGE) rest[key] = property
    else if (key === "outcome" && place.length === 0 && isRecord(property)) rest[key] = split(property, [key], found)
    else {
      rest[key] = null
      found.push({ path: [...place, key], blob: { hash: hashOf(body), body } })
    }
  }
  return rest
}

export const encode = (event: Readonly<Record<string, unknown>>): EventText => {
  const text = JSON.stringify(event)
  if (text.length <= LARGE) return { text, blobs: none }
  const found: Array<{ readonly path: Path; readonly blob: Blob }> = []
  const rest = split(event, [], found)
  if (found.length === 0) return { text, blobs: none }
  const places = found.map(({ blob, path }) => [blob.hash, ...path])
  return { text: MARK + JSON.stringify({ event: rest, places }), blobs: found.map(({ blob }) => blob) }
}

/** Fails by throwing: a text that is not ours, or a value that is not there or not what it was. */
export const decode = (text: string, bodyOf: (hash: string) => string | undefined): unknown => {
  if (!text.startsWith(MARK)) return JSON.parse(text)
  const { event, places }: { event: unknown; places: ReadonlyArray<readonly [string, ...Array<string>]> } = JSON.parse(
    text.slice(MARK.length)
  )
  for (const [hash, ...path] of places) {
    const body = bodyOf(hash)
    if (body === undefined || hashOf(body) !== hash) throw new Error("a large value of it is damaged")
    let target = event
    const last = path.pop()
    for (const key of path) target = isRecord(target) ? target[key] : undefined
    if (last !== undefined && isRecord(target)) target[last] = JSON.parse(body)
  }
  return event
}
