/**
 * RPC over WebSockets, with bounds on what one client may cost.
 *
 * A client that sends five malformed frames is cut off. One that does not read is waited for once a megabyte is under
 * way to it, so its calls and subscriptions stand still and nobody else's do; after ten seconds it is cut off too.
 */
import { Effect, Latch, Queue, Result } from "effect"
import type { HttpServerRequest } from "effect/http"
import { HttpServerResponse } from "effect/http"
import { RpcServer } from "effect/rpc"
import type { FromClientEncoded, FromServerEncoded } from "effect/rpc/RpcMessage"
import { Socket } from "effect/socket"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Frames from "./Frames.ts"
import { type Connection, Gate } from "./Gate.ts"

const strikes = 5
const maxUnread = 1024 * 1024
const patience = "10 seconds"

const goodbye = new Socket.CloseEvent(1012, "the server is shutting down")
const tooManyMalformed = new Socket.CloseEvent(1008, `${strikes} malformed frames`)
const tooLong = new Socket.CloseEvent(1009, `a message is at most ${Frames.maxFrameSize} bytes`)

interface Client {
  readonly write: (frame: string | Uint8Array) => Effect.Effect<void>
}

export const make = Effect.gen(function* () {
  const gate = yield* Gate
  const disconnects = yield* Queue.unbounded<number>()
  const clients = new Map<number, Client>()
  const { encode, decode } = Frames.serialization.makeUnsafe()
  let nextClient = 0
  let deliver: (clientId: number, frame: FromClientEncoded) => Effect.Effect<void> = () => Effect.void

  const protocol = yield* RpcServer.Protocol.make((write) => {
    deliver = write
    return Effect.succeed({
      disconnects,
      send: (clientId: number, message: FromServerEncoded) => {
        const frame = encode(message)
        return frame === undefined ? Effect.void : (clients.get(clientId)?.write(frame) ?? Effect.void)
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

    const write = (frame: string | Uint8Array): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (wire.destroyed) return Effect.void
        if (wire.writableLength <= maxUnread) return Effect.ignore(writer.write(frame))
        drained.closeUnsafe()
        return drained.await.pipe(
          Effect.timeoutOrElse({ duration: patience, orElse: () => destroy }),
          Effect.andThen(write(frame))
        )
      })
    const connection: Connection = { close: Effect.ignore(writer.write(goodbye)), destroy }
    clients.set(id, { write })
    gate.add(connection)
    yield* Effect.addFinalizer(() => {
      wire.off("drain", open).off("close", open)
      clients.delete(id)
      gate.remove(connection)
      return Queue.offer(disconnects, id)
    })

    let malformed = 0
    const { pull } = yield* socket.reader
    while (true) {
      for (const message of yield* pull) {
        const frames = Result.try(() => decode(message) as ReadonlyArray<Frames.ClientFrame>)
        if (Result.isFailure(frames)) return yield* writer.write(tooLong)
        for (const frame of frames.success) {
          if (frame._tag === "Malformed" && ++malformed > strikes) return yield* writer.write(tooManyMalformed)
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
