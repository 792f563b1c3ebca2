/**
 * Cuts what a server writes into messages, one a line, and holds no more of one than the cap. Each line is one of:
 *
 * - a message of JSON-RPC, which is handed on;
 * - a stray line, as of a program that logs to its standard output: told, counted and passed over;
 * - a broken message: JSON of the kind that programs write, cut off or malformed. After it nothing that follows can be
 *   trusted to be whole, so it ends the connection;
 * - a message beyond the cap. Where its first or last bytes tell whose answer it is, only that call fails.
 */
import { ErrorCode, type JSONRPCMessage, JSONRPCMessageSchema } from "@modelcontextprotocol/sdk/types.js"

/** Bytes of one message. */
export const maxMessage = 4 * 1024 * 1024
/** Bytes kept of both ends of a message that is too large. */
const ends = 1_024
const newline = 0x0a

export interface Reader {
  readonly onMessage: (message: JSONRPCMessage) => void
  readonly onStray: (line: string) => void
  readonly onBroken: (reason: string) => void
}

const tooLarge = `the answer is larger than ${maxMessage / 1024 / 1024} MiB`

/** The id of an answer, read off the ends of its text: programs write it before or after all of the rest. */
const idAtTheEnds = (head: string, tail: string): number | undefined => {
  const found =
    /^\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d{1,15})\s*,\s*"(?:result|error)"/.exec(head) ??
    /^\s*\{\s*"id"\s*:\s*(\d{1,15})\s*,\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"(?:result|error)"/.exec(head) ??
    (/^\s*\{\s*"(?:result|error)"/.test(head)
      ? /,\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d{1,15})\s*\}\s*$/.exec(tail)
      : null)
  return found?.[1] === undefined ? undefined : Number(found[1])
}

export class Messages {
  readonly #reader: Reader
  #kept: Array<Buffer> = []
  #size = 0
  #head = ""
  #tail: Buffer = Buffer.alloc(0)

  constructor(reader: Reader) {
    this.#reader = reader
  }

  push(chunk: Buffer): void {
    let from = 0
    while (from < chunk.length) {
      const at = chunk.indexOf(newline, from)
      this.#add(chunk.subarray(from, at === -1 ? chunk.length : at))
      if (at === -1) return
      this.#endLine()
      from = at + 1
    }
  }

  #add(piece: Buffer): void {
    if (piece.length === 0) return
    this.#size += piece.length
    if (this.#size > maxMessage) {
      if (this.#kept.length > 0) {
        const first = this.#kept[0]?.subarray(0, ends) ?? piece
        const last = this.#kept.at(-1)?.subarray(-ends) ?? piece
        this.#head = first.toString("utf8")
        // Copied, so that the rest of it can be let go of.
        this.#tail = Buffer.from(last)
        this.#kept = []
      } else if (this.#head === "") this.#head = piece.subarray(0, ends).toString("utf8")
      this.#tail = Buffer.concat([this.#tail, piece.subarray(-ends)]).subarray(-ends)
      return
    }
    this.#kept.push(piece)
  }

  #endLine(): void {
    const isTooLarge = this.#size > maxMessage
    const line = isTooLarge ? "" : Buffer.concat(this.#kept).toString("utf8")
    const id = isTooLarge ? idAtTheEnds(this.#head, this.#tail.toString("utf8")) : undefined
    this.#kept = []
    this.#size = 0
    this.#head = ""
    this.#tail = Buffer.alloc(0)
    if (!isTooLarge) return this.#read(line)
    if (id === undefined) return this.#reader.onBroken(`it sent a message larger than ${maxMessage / 1024 / 1024} MiB`)
    this.#reader.onMessage({ jsonrpc: "2.0", id, error: { code: ErrorCode.InternalError, message: tooLarge } })
  }

  #read(line: string): void {
    const text = line.trim()
    if (text === "") return
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      if (text.startsWith('{"')) this.#reader.onBroken("it sent a message that is cut off or no JSON")
      else this.#reader.onStray(text)
      return
    }
    const message = JSONRPCMessageSchema.safeParse(json)
    if (message.success) this.#reader.onMessage(message.data)
    else this.#reader.onStray(text)
  }
}
