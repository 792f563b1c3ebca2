/**
 * What the wire formats of model providers have in common, so that one suite can be run against each: an answer as
 * blocks, a conversation as turns, and a scripted server that speaks the format and refuses what its provider refuses.
 */
import { Effect, Result, Schema } from "effect"
import { createHash } from "node:crypto"
import * as ScriptedServer from "../ScriptedServer.ts"

export type { Reply, Step } from "../ScriptedServer.ts"
export { bytesOf, cut, data, gate, raw, silence, wait } from "../ScriptedServer.ts"

export type Block =
  | { readonly type: "thought"; readonly text: string }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "call"; readonly id: string; readonly name: string; readonly args: string }

export const thought = (text: string): Block => ({ type: "thought", text })
export const text = (text: string): Block => ({ type: "text", text })
export const call = (id: string, name: string, args: unknown): Block => ({
  type: "call",
  id,
  name,
  args: typeof args === "string" ? args : JSON.stringify(args)
})

/** What a provider signs its reasoning with: it knows whether the text came back unchanged. */
export const sealOf = (text: string): string => `sealed-${createHash("sha256").update(text).digest("base64url")}`

export type Ending = "stop" | "calls" | "length" | "filtered"

/** Of the input 40 come from the cache and, where the format tells, 10 go into it; of the output 20 are reasoning. */
export const TAKEN = { input: 100, cached: 40, written: 10, output: 50, reasoning: 20 }

export type Turn =
  | { readonly role: "system"; readonly text: string }
  | { readonly role: "user"; readonly texts: ReadonlyArray<string>; readonly images: ReadonlyArray<string> }
  | { readonly role: "assistant"; readonly blocks: ReadonlyArray<Block> }
  | { readonly role: "results"; readonly results: ReadonlyArray<{ readonly id: string; readonly text: string }> }

/** A request as it was understood. */
export interface Heard {
  readonly turns: ReadonlyArray<Turn>
  readonly tools: ReadonlyArray<string>
  /** What the answer has to fit. */
  readonly schema?: unknown
  readonly raw: Schema.Json
}

/** Where all there is to say of a request is why it is refused. */
export class Mistake extends Error {}

export const refuse = (mistake: string): never => {
  throw new Mistake(mistake)
}

export interface Wire {
  readonly provider: "anthropic" | "openai" | "openai-compatible"
  /** As the provider calls it. */
  readonly model: string
  readonly path: string
  /** A whole answer. */
  readonly answer: (blocks: ReadonlyArray<Block>, ending?: Ending) => ReadonlyArray<ScriptedServer.Step>
  /** An answer up to the end of its last block, which is left open. */
  readonly unfinished: (blocks: ReadonlyArray<Block>) => ReadonlyArray<ScriptedServer.Step>
  /** An error in the middle of an answer. */
  readonly errorEvent: (kind: "overloaded" | "limited") => ScriptedServer.Step
  readonly refusal: (
    status: number,
    message: string,
    headers?: Record<string, string>,
    kind?: string
  ) => Exclude<ScriptedServer.Reply, ReadonlyArray<ScriptedServer.Step>>
  /** What it says of a conversation that is too long. */
  readonly tooLong: ScriptedServer.Reply
  /** An answer in one piece. */
  readonly whole: (text: string) => ScriptedServer.Reply
  /** Understands a request, or throws a `Mistake`. */
  readonly hear: (body: Schema.Json, headers: ScriptedServer.Asked<unknown>["headers"]) => Omit<Heard, "raw">
}

export type Script = (heard: Heard, index: number) => ScriptedServer.Reply

export interface WireServer {
  readonly url: string
  readonly heard: ReadonlyArray<Heard>
  /** Why requests were refused by the rules of the format. */
  readonly mistakes: ReadonlyArray<string>
  readonly requests: ScriptedServer.ScriptedServer<Schema.Json>
  readonly follow: (script: Script) => void
}

const parse = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Json))

export const serve = (wire: Wire, script: Script) =>
  Effect.gen(function* () {
    let current = script
    const heard: Array<Heard> = []
    const mistakes: Array<string> = []
    const requests = yield* ScriptedServer.make(parse, ({ body, headers, path }) => {
      const understood = Result.try(() => {
        // Halves of characters are the only ones that are written so.
        if (/(?<!\\)\\ud[89a-f][0-9a-f]{2}/.test(JSON.stringify(body))) {
          refuse("The request body is not valid JSON: no low surrogate in string")
        }
        return path.endsWith(wire.path) ? wire.hear(body, headers) : refuse(`there is nothing at ${path}`)
      })
      if (Result.isFailure(understood)) {
        const mistake = String(understood.failure)
        mistakes.push(mistake)
        return wire.refusal(400, mistake)
      }
      const request = { ...understood.success, raw: body }
      heard.push(request)
      return current(request, heard.length - 1)
    })
    const server: WireServer = {
      url: requests.url,
      heard,
      mistakes,
      requests,
      follow: (next) => {
        current = next
      }
    }
    return server
  })

/** In three pieces, as a model writes it. */
export const pieces = (text: string): ReadonlyArray<string> => {
  const third = Math.ceil(text.length / 3)
  return [text.slice(0, third), text.slice(third, 2 * third), text.slice(2 * third)].filter((piece) => piece !== "")
}

/** A name that a provider takes for a tool. */
export const checkName = (name: string, longest: number): void => {
  if (!/^[a-zA-Z0-9_-]+$/.test(name) || name.length > longest) refuse(`"${name}" is no name of a tool`)
}

/** The root of a tool's parameters is a plain object. */
export const checkParameters = (name: string, parameters: object): void => {
  if (["oneOf", "allOf", "anyOf", "enum", "not"].some((word) => word in parameters)) {
    refuse(`${name}: input_schema does not support oneOf, allOf, or anyOf at the top level`)
  }
}

export const isBlank = (text: string): boolean => text.trim() === ""
