/**
 * Frames as the gateway accepts them: one JSON message a line, at most 1 MiB together, nested at most 128 deep.
 *
 * What a client sends is rebuilt field by field before anything else sees it, so that a frame that is not a message
 * of the protocol becomes `Malformed` here, with the reason, instead of a defect somewhere behind. Headers inside a
 * message are dropped: who calls is told by the connection alone.
 */
import { Predicate, SchemaAST } from "effect"
import { RpcSerialization } from "effect/rpc"
import type { FromClientEncoded } from "effect/rpc/RpcMessage"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"

/** Bytes in a frame, a WebSocket message or a request's body. */
export const maxFrameSize = 1024 * 1024
const maxDepth = 128
const maxIdLength = 100

export interface Malformed {
  readonly _tag: "Malformed"
  readonly reason: string
  /** The call that it was meant for, where one can be told. */
  readonly id?: string | number
}
export type ClientFrame = FromClientEncoded | Malformed

const isId = (u: unknown): u is string | number =>
  typeof u === "number" ? Number.isFinite(u) : typeof u === "string" && u.length <= maxIdLength

const malformed = (reason: string, id?: unknown): Malformed =>
  isId(id) ? { _tag: "Malformed", reason, id } : { _tag: "Malformed", reason }

/** Whether brackets nest deeper than allowed; text in quotes does not count. */
export const isTooDeep = (json: string): boolean => {
  if (json.length <= maxDepth * 2) return false
  let depth = 0
  let inText = false
  for (let at = 0; at < json.length; at++) {
    const char = json.charCodeAt(at)
    if (inText) {
      if (char === 0x5c) at++
      else if (char === 0x22) inText = false
    } else if (char === 0x22) inText = true
    else if (char === 0x5b || char === 0x7b) {
      if (++depth > maxDepth) return true
    } else if (char === 0x5d || char === 0x7d) depth--
  }
  return false
}

/** A message of the protocol, rebuilt from what a client sent. */
export const fromUnknown = (input: unknown): ClientFrame => {
  if (!Predicate.isObject(input)) return malformed("a frame is a JSON object")
  const frame: Record<PropertyKey, unknown> = input
  switch (frame["_tag"]) {
    case "Request": {
      const { id, payload, sampled, spanId, tag, traceId } = frame
      if (!isId(id)) return malformed(`a call needs an id: a number, or text of up to ${maxIdLength} characters`)
      if (typeof tag !== "string") return malformed("a call names its operation in the field tag", id)
      const call = { _tag: "Request", id, tag, payload: payload ?? null, headers: [] } as const
      return typeof traceId === "string" &&
        typeof spanId === "string" &&
        /^[0-9a-f]{32} [0-9a-f]{16}$/.test(`${traceId} ${spanId}`)
        ? { ...call, traceId, spanId, sampled: sampled === true }
        : call
    }
    case "Ack":
    case "Interrupt": {
      const { _tag, requestId } = frame
      return isId(requestId) ? { _tag, requestId } : malformed(`${_tag} names a call in the field requestId`)
    }
    case "Ping":
    case "Eof":
      return { _tag: frame["_tag"] }
    default:
      return malformed("the field _tag is Request, Ack, Interrupt, Ping or Eof", frame["id"])
  }
}

const lines = RpcSerialization.makeNdjson()
const decoder = new TextDecoder()

const decodeLine = (line: string): ClientFrame => {
  if (isTooDeep(line)) return malformed(`nested deeper than ${maxDepth}`)
  let json: unknown
  try {
    json = JSON.parse(line)
  } catch {
    return malformed("not JSON")
  }
  return fromUnknown(json)
}

/**
 * There is one codec for what each operation takes and one for what it answers, and every call goes through them: so
 * they are compiled, at the first call. Where code cannot be made at run time they are interpreted.
 */
const codecFor: RpcSerialization.CodecFor = (schema) => {
  const codec = lines.codecFor(schema)
  SchemaJITCompiler.enable(codec.ast)
  SchemaJITCompiler.enable(SchemaAST.flip(codec.ast))
  return codec
}

/**
 * Newline-delimited JSON whose parser hands out `ClientFrame`s. A WebSocket message and a request's body are each a
 * whole number of lines, so nothing is kept between them, and a line that cannot be read costs that line only.
 */
export const serialization: RpcSerialization.RpcSerialization["Service"] = {
  ...lines,
  codecFor,
  makeUnsafe: () => ({
    encode: lines.makeUnsafe().encode,
    decode: (data) => {
      const text = typeof data === "string" ? data : decoder.decode(data)
      if (text.length > maxFrameSize) {
        throw new RpcSerialization.MaxBufferSizeExceeded({ maxBufferSize: maxFrameSize })
      }
      return text
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line !== "")
        .map(decodeLine)
    }
  })
}
