/** A TCP proxy on loopback whose connections can be cut, and whose target can change. */
import { Effect } from "effect"
import { createConnection, createServer, type Socket } from "node:net"

export interface TcpProxy {
  readonly port: number
  target: number
  /** Cuts every connection; hard: with a reset instead of an end. */
  readonly cut: (hard: boolean) => number
  /** From now on nothing passes, in either direction, and nobody is told: a cable pulled out. */
  readonly freeze: () => void
}

export const make = (target: number) =>
  Effect.acquireRelease(
    Effect.callback<TcpProxy & { readonly close: () => void }>((resume) => {
      const sockets = new Set<Socket>()
      const server = createServer((near) => {
        const far = createConnection({ port: proxy.target, host: "127.0.0.1" })
        for (const [socket, other] of [
          [near, far],
          [far, near]
        ] as const) {
          sockets.add(socket)
          socket.on("error", () => other.destroy())
          socket.on("close", () => {
            sockets.delete(socket)
            other.destroy()
          })
          socket.pipe(other)
        }
      })
      const proxy = {
        port: 0,
        target,
        cut: (hard: boolean) => {
          const count = sockets.size
          for (const socket of sockets) {
            if (hard) socket.resetAndDestroy()
            else socket.destroy()
          }
          return count
        },
        freeze: () => {
          for (const socket of sockets) {
            socket.removeAllListeners("close").removeAllListeners("error")
            socket.on("error", () => {})
            socket.unpipe()
            socket.pause()
          }
        },
        close: () => {
          server.close()
          for (const socket of sockets) socket.destroy()
        }
      }
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        if (typeof address === "object" && address !== null) proxy.port = address.port
        resume(Effect.succeed(proxy))
      })
    }),
    (proxy) => Effect.sync(() => proxy.close())
  )
