/**
 * RPC over WebSockets, with bounds on what one client may cost.
 *
 * A client that sends five malformed frames is cut off. One that does not read is waited for once a megabyte is under
 * way to it, so its calls and subscriptions stand still and nobody else's do; `Vigil` cuts it off when that lasts, as
 * it does with those who have vanished. Frames that are written in one turn leave as one message.
 */
import { Effect, Exit, Latch, Queue, Result, Schema } from "effect"
import type { HttpServerRequest } from "effect/http"
import { HttpServerResponse } from "effect/http"
import { RpcServer } from "effect/rpc"
import type { FromClientEncoded, FromServerEncoded, ResponseExitEncoded } from "effect/rpc/RpcMessage"
import { Socket } from "effect/socket"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Frames from "./Frames.ts"
import { hardUnread, softUnread } from "../../services/gateway/ConnectionLimits.ts"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { type Connection, Gate } from "./Gate.ts"
import { Vigil } from "./Vigil.ts"

const strikes = 5
/** A WebSocket ping without a payload, as a server sends it. */
const ping = Buffer.from([0x89, 0x00])

const goodbye = new Socket.CloseEvent(1012, "the server is shutting down")
const tooManyMalformed = new Socket.CloseEvent(1008, `${strikes} malformed frames`)
const tooLong = new Socket.CloseEvent(1009, `a message is at most ${Frames.maxFrameSize} bytes`)

const decoder = new TextDecoder()

interface Client {
  readonly write: (frame: string) => Effect.Effect<void>
  /** Calls and subscriptions that have not been answered to the end. */
  underWay: number
}

const tooMuch = new InvalidInput({
  subject: "call",
  issues: [{ path: "", message: `the answer is longer than ${hardUnread} bytes; ask for less at a time, with limit` }]
})

export const make = Effect.gen(function* () {
  const gate = yield* Gate
  const disconnects = yield* Queue.unbounded<number>()
  const clients = new Map<number, Client>()
  const vigil = yield* Vigil
  const { encode, decode } = Frames.serialization.makeUnsafe()
  const refusal = Schema.encodeUnknownSync(
    Frames.serialization.codecFor(Schema.Exit(Schema.Void, InvalidInput, Schema.Defect()))
  )(Exit.fail(tooMuch)) as ResponseExitEncoded["exit"]
  let nextClient = 0
  let deliver: (clientId: number, frame: FromClientEncoded) => Effect.Effect<void> = () => Effect.void

  const send = (client: Client, message: FromServerEncoded): Effect.Effect<void> => {
    const encoded = encode(message)
    if (encoded === undefined) return Effect.void
    const frame = typeof encoded === "string" ? encoded : decoder.decode(encoded)
    if (frame.length > softUnread && message._tag === "Chunk" && message.values.length > 1) {
      const [first, ...rest] = message.values
      const middle = Math.ceil(rest.length / 2)
      const before = { ...message, values: [first, ...rest.slice(0, middle - 1)] as const }
      const after = rest.slice(middle - 1)
      if (after[0] !== undefined) {
        return Effect.andThen(
          send(client, before),
          Effect.suspend(() => send(client, { ...message, values: [after[0], ...after.slice(1)] }))
        )
      }
    }
    if (frame.length > hardUnread && message._tag === "Exit") return send(client, { ...message, exit: refusal })
    return client.write(frame)
  }

  const protocol = yield* RpcServer.Protocol.make((write) => {
    deliver = write
    return Effect.succeed({
      disconnects,
      send: (clientId: number, message: FromServerEncoded) => {
        const client = clients.get(clientId)
        if (client === undefined) return Effect.void
        if (message._tag === "Exit") client.underWay = Math.max(0, client.underWay - 1)
        return send(client, message)
      },
      end: () => Effect.void,
      clientIds: Effect.sync(() => new Set(clients.keys())),
      initialMessage: Effect.succeedNone,
      supportsAck: true,
      supportsTransferables: false,
      supportsSpanPropagation: true,
      supportsNotifications: false,
      codecFor: Frames.serialization.codecFor
    })
  })

  const serve = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    const { socket: wire } = NodeHttpServerRequest.toIncomingMessage(request)
    const socket = yield* request.upgrade
    const writer = yield* socket.writer
    const id = nextClient++
    const drained = Latch.makeUnsafe(true)
    const open = () => drained.openUnsafe()
    const destroy = Effect.sync(() => wire.destroy())
    wire.on("drain", open).once("close", open)

    /** Frames of this turn, to leave as one message: lines of text, so that it does not matter where they are split. */
    let waiting = ""
    const waits = Latch.makeUnsafe()
    const flush = Effect.suspend(() => {
      const text = waiting
      waiting = ""
      waits.closeUnsafe()
      return text === "" || wire.destroyed ? Effect.void : Effect.ignore(writer.write(text))
    })
    yield* waits.await.pipe(Effect.andThen(flush), Effect.forever, Effect.forkScoped)
    const write = (frame: string): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (wire.destroyed) return Effect.void
        if (wire.writableLength + waiting.length > softUnread) {
          drained.closeUnsafe()
          return Effect.andThen(Effect.andThen(flush, drained.await), write(frame))
        }
        const isFirst = waiting === ""
        waiting += frame
        return isFirst ? waits.open : Effect.void
      })
    /** What was to be said is said before the end. */
    const close = (event: Socket.CloseEvent) => Effect.andThen(flush, writer.write(event))
    const connection: Connection = { close: Effect.ignore(close(goodbye)), destroy }
    const client: Client = { write, underWay: 0 }
    clients.set(id, client)
    gate.add(connection)
    yield* Effect.addFinalizer(() => {
      wire.off("drain", open).off("close", open)
      clients.delete(id)
      gate.remove(connection)
      return Queue.offer(disconnects, id)
    })

    yield* vigil.watch({
      wire,
      answers: true,
      underWay: () => client.underWay,
      ping: () => wire.write(ping),
      close: (reason) => Effect.ignore(close(new Socket.CloseEvent(1001, reason)))
    })

    let malformed = 0
    const { pull } = yield* socket.reader
    while (true) {
      for (const message of yield* pull) {
        const frames = Result.try(() => decode(message) as ReadonlyArray<Frames.ClientFrame>)
        if (Result.isFailure(frames)) return yield* close(tooLong)
        for (const frame of frames.success) {
          if (frame._tag === "Malformed" && ++malformed > strikes) return yield* close(tooManyMalformed)
          if (frame._tag === "Request") client.underWay++
          // A socket ends by closing: a client that only says so keeps what it has under way.
          if (frame._tag !== "Eof") yield* deliver(id, frame as FromClientEncoded)
        }
      }
    }
  })

  /** Answers a handshake and serves the connection until it ends. */
  const httpEffect = (request: HttpServerRequest.HttpServerRequest) =>
    serve(request).pipe(
      // The other side has gone, as it may at any time.
      Effect.catchTag("SocketError", () => Effect.void),
      Effect.catchTag("HttpServerError", () => Effect.void),
      Effect.scoped,
      Effect.as(HttpServerResponse.empty({ status: 426 }))
    )

  return { protocol, httpEffect }
})
