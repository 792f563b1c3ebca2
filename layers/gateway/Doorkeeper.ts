/**
 * Counts connections at the door, before a byte of theirs is read: one too many is told so in a sentence and let go.
 */
import type { Server } from "node:http"
import type { Socket } from "node:net"
import type { ConnectionLimits } from "../../services/gateway/ConnectionLimits.ts"

const refusal = (message: string): string => {
  const body = `${JSON.stringify({ error: { code: "too_many_connections", message } })}\n`
  const head = [
    "HTTP/1.1 503 Service Unavailable",
    "connection: close",
    "retry-after: 10",
    "content-type: application/json"
  ]
  return [...head, `content-length: ${Buffer.byteLength(body)}`, "", body].join("\r\n")
}

/** Puts the limits before a server's own handling of connections. */
export const guard = (server: Server, { connections, perAddress }: ConnectionLimits): void => {
  const counts = new Map<string, number>()
  let all = 0
  const admit = server.listeners("connection")
  server.removeAllListeners("connection")
  // Beyond this many not even a sentence is sent.
  server.maxConnections = connections + 1_000

  server.on("connection", (socket: Socket) => {
    const address = socket.remoteAddress ?? ""
    const count = counts.get(address) ?? 0
    if (all >= connections || count >= perAddress) {
      const message =
        all >= connections
          ? `the server has ${connections} connections, which is all it takes; try again later`
          : `${address} has ${perAddress} connections, which is all that one address may have; close some, or share one`
      socket.on("error", () => socket.destroy())
      socket.end(refusal(message), () => socket.destroy())
      return
    }
    all++
    counts.set(address, count + 1)
    socket.once("close", () => {
      all--
      const left = (counts.get(address) ?? 1) - 1
      if (left === 0) counts.delete(address)
      else counts.set(address, left)
    })
    for (const listener of admit) Reflect.apply(listener, server, [socket])
  })
}
