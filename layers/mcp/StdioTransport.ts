/**
 * MCP's stdio transport over a child of `Processes`: a process group of its own, an environment of listed names, and
 * nothing of it left when the scope closes.
 *
 * What the server reads too slowly waits in a queue of bounded length, and what finds no place in it is refused; what
 * the server writes is cut into messages of bounded size, and makes it wait where it writes faster than it is read.
 */
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import type { JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js"
import { Effect, Fiber, Queue, Stream } from "effect"
import type { McpTransport } from "../../services/mcp/McpConfig.ts"
import { lastWordsOf } from "../../services/mcp/lastWordsOf.ts"
import {
  type CommandMissing,
  type CommandNotStarted,
  Processes,
  type Status
} from "../../services/processes/Processes.ts"
import { ConnectionLost, type Link, makeFaults, Refused } from "./Link.ts"
import { Messages } from "./Messages.ts"

/** Of what the server has not read yet. */
export const queue = { messages: 256, bytes: 1024 * 1024 } as const

/** Characters of what the server wrote, in a message. */
const shown = 200
/** For a server to end by itself, once its input is closed. */
const farewell = "500 millis"
/** For what an ended server has written to arrive. */
const lastWords = "100 millis"

class QueuedTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: Transport["onmessage"]
  protocol = ""
  readonly #waiting: Queue.Queue<Uint8Array>
  #count = 0
  #bytes = 0
  #isClosed = false

  constructor(waiting: Queue.Queue<Uint8Array>) {
    this.#waiting = waiting
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
    return this.#count >= queue.messages || this.#bytes + bytes > queue.bytes
      ? `it has stopped reading: ${this.#count} messages of ${this.#bytes} bytes wait for it`
      : undefined
  }

  send(message: JSONRPCMessage): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error("the connection is closed"))
    const line = Buffer.from(`${JSON.stringify(message)}\n`)
    const refusal = this.refusal(line.length)
    if (refusal !== undefined || !Queue.offerUnsafe(this.#waiting, line)) {
      return Promise.reject(new Error(refusal ?? "the connection is closed"))
    }
    this.#count++
    this.#bytes += line.length
    return Promise.resolve()
  }

  /** One message has been taken. */
  sent({ length }: Uint8Array): void {
    this.#count--
    this.#bytes -= length
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

const notStarted = (error: CommandMissing | CommandNotStarted) =>
  new ConnectionLost({
    reason:
      error._tag === "CommandMissing"
        ? `there is no program "${error.command}" on the server's PATH`
        : `"${error.command}" could not be started: ${error.detail}`
  })

const ended = ({ code, signal }: Status, stderr: string): string => {
  const how = signal === undefined ? `exited with status ${code ?? "unknown"}` : `was ended by ${signal}`
  const last = lastWordsOf(stderr, shown)
  return last === "" ? `it ${how}` : `it ${how}; its last words: ${last}`
}

/** Starts the server; the transport is closed and the server gone when the scope closes. */
export const open = Effect.fnUntraced(function* (
  server: string,
  { args, command, cwd, env }: Extract<McpTransport, { readonly type: "stdio" }>,
  inherit: ReadonlyArray<string>
) {
  const { lose, lost, onLost, violate } = yield* makeFaults(server)
  const child = yield* (yield* Processes).open({ command, args, cwd, env, inherit }).pipe(Effect.mapError(notStarted))
  const waiting = yield* Queue.bounded<Uint8Array>(queue.messages)
  const transport = new QueuedTransport(waiting)
  const messages = new Messages({
    onMessage: (message) => transport.deliver(message),
    onStray: (line) => violate(`"${line.slice(0, shown)}" is no message`),
    onBroken: lose
  })
  // Run before the child is stopped: a server whose input is closed may end by itself.
  yield* Effect.addFinalizer(() =>
    Effect.promise(() => transport.close()).pipe(
      Effect.andThen(child.closeInput),
      Effect.andThen(Effect.timeoutOption(child.exit, farewell))
    )
  )
  yield* Queue.take(waiting).pipe(
    Effect.flatMap((line) =>
      Effect.andThen(
        child.write(line),
        Effect.sync(() => transport.sent(line))
      )
    ),
    Effect.forever,
    Effect.ignore,
    Effect.forkScoped
  )
  const reading = yield* child.stdout.pipe(
    Stream.runForEach((chunk) =>
      Effect.sync(() => messages.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)))
    ),
    Effect.forkScoped
  )
  yield* child.exit.pipe(
    // What it wrote last may still be on its way; what it left running may hold the pipe open.
    Effect.tap(() => Effect.timeoutOption(Fiber.await(reading), lastWords)),
    Effect.flatMap((status) => Effect.map(child.stderr, (stderr) => lose(ended(status, stderr)))),
    Effect.forkScoped
  )
  return {
    transport,
    farewell: Effect.void,
    protocol: () => transport.protocol,
    lose,
    lost,
    onLost,
    refusal: (bytes) => {
      const reason = transport.refusal(bytes)
      return reason === undefined ? undefined : new Refused({ reason })
    },
    violate
  } satisfies Link
})
