/**
 * MCP's stdio transport over a child of `Processes`: a process group of its own, an environment of listed names, and
 * nothing of it left when the scope closes.
 *
 * What the server reads too slowly waits in a queue of bounded length, and what finds no place in it is refused; what
 * the server writes is cut into messages of bounded size.
 */
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import type { JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js"
import { Effect } from "effect"
import type { McpTransport } from "../../services/mcp/McpConfig.ts"
import { type Child, type Exit, Processes } from "../../services/tools/Processes.ts"
import { ConnectionLost, type Link, makeFaults, Refused } from "./Link.ts"
import { Messages } from "./Messages.ts"

/** Of what the server has not read yet. */
export const queue = { messages: 256, bytes: 1024 * 1024 } as const

/** Characters of what the server wrote, in a message. */
const shown = 200

class ChildTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: Transport["onmessage"]
  protocol = ""
  readonly #child: Child
  #waiting = 0
  #waitingBytes = 0
  #isClosed = false

  constructor(child: Child) {
    this.#child = child
  }

  start(): Promise<void> {
    return Promise.resolve()
  }

  setProtocolVersion(version: string): void {
    this.protocol = version
  }

  /** Why a message of that size would not be taken now. */
  refusal(bytes: number): string | undefined {
    if (bytes > queue.bytes)
      return `a message of ${bytes} bytes is larger than the ${queue.bytes} that a server is sent`
    return this.#waiting >= queue.messages || this.#waitingBytes + bytes > queue.bytes
      ? `it has stopped reading: ${this.#waiting} messages of ${this.#waitingBytes} bytes wait for it`
      : undefined
  }

  send(message: JSONRPCMessage): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error("the connection is closed"))
    const line = `${JSON.stringify(message)}\n`
    const bytes = Buffer.byteLength(line)
    const refusal = this.refusal(bytes)
    if (refusal !== undefined) return Promise.reject(new Error(refusal))
    this.#waiting++
    this.#waitingBytes += bytes
    this.#child.write(line, () => {
      this.#waiting--
      this.#waitingBytes -= bytes
    })
    return Promise.resolve()
  }

  close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true
      this.onclose?.()
    }
    return Promise.resolve()
  }

  deliver(message: JSONRPCMessage): void {
    if (!this.#isClosed) this.onmessage?.(message)
  }
}

const ended = ({ code, signal, stderr }: Exit): string => {
  const how = signal === undefined ? `exited with status ${code ?? "unknown"}` : `was ended by ${signal}`
  const last = stderr.trim().split("\n").at(-1) ?? ""
  return last === "" ? `it ${how}` : `it ${how}; its last words: ${last.slice(0, shown)}`
}

/** Starts the server; the transport is closed and the server gone when the scope closes. */
export const open = Effect.fnUntraced(function* (
  server: string,
  { args, command, cwd, env }: Extract<McpTransport, { readonly type: "stdio" }>,
  inherit: ReadonlyArray<string>
) {
  const processes = yield* Processes
  const { lose, lost, onLost, violate } = yield* makeFaults(server)
  // The first chunk comes after the child has begun, and so after the transport is there.
  let transport: ChildTransport | undefined
  const messages = new Messages({
    onMessage: (message) => transport?.deliver(message),
    onStray: (line) => violate(`"${line.slice(0, shown)}" is no message`),
    onBroken: lose
  })
  const child = yield* processes
    .open({ command, args, cwd, env, inherit, onStdout: (chunk) => messages.push(Buffer.from(chunk)) })
    .pipe(
      Effect.mapError(
        (error) =>
          new ConnectionLost({
            reason:
              error._tag === "CommandMissing"
                ? `there is no program "${error.command}" on the server's PATH, or its working directory does not exist`
                : `"${error.command}" could not be started: ${error.detail}`
          })
      )
    )
  transport = new ChildTransport(child)
  const link = transport
  yield* Effect.addFinalizer(() => Effect.promise(() => link.close()))
  yield* child.exited.pipe(
    Effect.flatMap((exit) => Effect.sync(() => lose(ended(exit)))),
    Effect.forkScoped
  )
  return {
    transport: link,
    protocol: () => link.protocol,
    lose,
    lost,
    onLost,
    refusal: (bytes) => {
      const reason = link.refusal(bytes)
      return reason === undefined ? undefined : new Refused({ reason })
    },
    violate
  } satisfies Link
})
