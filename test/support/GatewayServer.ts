/** A gateway over the fake runtime on a free port, and raw ways to reach it. */
import { Context, Effect, Layer, Logger } from "effect"
import { createConnection, type Socket } from "node:net"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { ConnectionLimits } from "../../services/gateway/ConnectionLimits.ts"
import type * as Client from "../../src/client.ts"
import * as FakeRuntime from "./FakeRuntime.ts"

export class ServerUrl extends Context.Service<ServerUrl, string>()("test/ServerUrl") {}

/** Lines that the server logged. */
export const logged: Array<string> = []
const Log = Logger.layer([
  Logger.make(({ message }) => {
    logged.push(JSON.stringify(message))
  })
])

export const server = (port = 0, limits?: Partial<ConnectionLimits>) =>
  HttpGateway.layer({ port, version: "0.0.0", limits }).pipe(Layer.provide(FakeRuntime.layer), Layer.provide(Log))

/** One whose connections have limits of their own. */
export const layerWith = (limits: Partial<ConnectionLimits>) =>
  Layer.effect(ServerUrl, HttpGateway.url).pipe(Layer.provide(server(0, limits)))

export const layer = Layer.effect(ServerUrl, HttpGateway.url).pipe(Layer.provide(server()))

/** Sends bytes as they stand and hands back all that comes until the other side closes, or a moment is over. */
export const raw = (url: string, request: string): Promise<string> =>
  new Promise((resolve) => {
    let answer = ""
    const socket = createConnection({ port: Number(new URL(url).port), host: "127.0.0.1" }, () => socket.write(request))
    socket.on("data", (data) => (answer += data.toString()))
    socket.on("close", () => resolve(answer))
    socket.on("error", () => resolve(answer))
    setTimeout(() => socket.destroy(), 300)
  })

/** A masked text frame of up to 65,535 bytes; the mask is zero, so the payload stands as it is. */
export const masked = (frame: unknown): Buffer => {
  const payload = Buffer.from(`${JSON.stringify(frame)}\n`)
  return Buffer.concat([Buffer.from([0x81, 0xfe, payload.length >> 8, payload.length & 0xff, 0, 0, 0, 0]), payload])
}

/** A WebSocket client that sends and never reads. */
export const deaf = (url: string, frames: ReadonlyArray<unknown>): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const wire = createConnection({ port: Number(new URL(url).port), host: "127.0.0.1" })
    wire.on("error", reject)
    wire.write(
      `GET /rpc/ws HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`
    )
    wire.once("data", () => {
      wire.pause()
      for (const frame of frames) wire.write(masked(frame))
      resolve(wire)
    })
  })

/** A WebSocket whose messages and end can be waited for. */
export const socket = async (url: string) => {
  const ws = new WebSocket(`${url.replace("http", "ws")}/rpc/ws`)
  const received: Array<{
    readonly _tag: string
    readonly requestId?: unknown
    readonly exit?: unknown
    readonly defect?: unknown
  }> = []
  let wake = () => {}
  ws.addEventListener("message", ({ data }) => {
    for (const line of String(data).split("\n").filter(Boolean)) received.push(JSON.parse(line))
    wake()
  })
  const closed = new Promise<number>((resolve) => ws.addEventListener("close", ({ code }) => resolve(code)))
  await new Promise<void>((resolve, reject) => {
    ws.addEventListener("open", () => resolve())
    ws.addEventListener("error", () => reject(new Error("the handshake was refused")))
  })
  return {
    ws,
    received,
    closed,
    send: (frame: unknown) => ws.send(typeof frame === "string" ? frame : `${JSON.stringify(frame)}\n`),
    next: async (matches: (frame: (typeof received)[number]) => boolean) => {
      const deadline = performance.now() + 5_000
      for (;;) {
        const found = received.find(matches)
        if (found !== undefined) return found
        if (performance.now() > deadline)
          throw new Error(`not received; there was ${JSON.stringify(received).slice(0, 500)}`)
        await new Promise<void>((resolve) => {
          wake = resolve
          setTimeout(resolve, 100)
        })
      }
    }
  }
}

/** A call as it goes over the wire. */
export const call = (id: number, tag: string, payload: unknown = null) => ({
  _tag: "Request",
  id,
  tag,
  payload,
  headers: []
})

/** How many listen. */
export const subscribersOf = (espalier: Client.Operation, topic?: Topic.Topic) =>
  Effect.map(espalier.TopicStats({ limit: 1, ...(topic === undefined ? {} : { topic }) }), (topics) =>
    topics.reduce((sum, { subscribers }) => sum + subscribers, 0)
  )

/** A session with so many messages of so many characters. */
export const sessionOf = Effect.fnUntraced(function* (espalier: Client.Operation, messages: number, length: number) {
  const { id } = yield* espalier.StartSession({ title: "" })
  const text = "x".repeat(length)
  yield* Effect.forEach(Array.from({ length: messages }), () => espalier.SendMessage({ sessionId: id, text }))
  return { id, topic: Topic.ofSession(id) }
})
