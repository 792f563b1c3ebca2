/** A bare `ws` server that parses a frame and sends an answer of the same size as the others'. */
import { WebSocketServer } from "ws"
import { announce } from "./meter.ts"

const wss = new WebSocketServer({ port: 0, host: "127.0.0.1" }, () => {
  const address = wss.address()
  if (typeof address === "object" && address !== null) announce(address.port)
})
wss.on("connection", (socket) =>
  socket.on("message", (data: Buffer) => {
    const { id } = JSON.parse(data.toString("utf8")) as { id: number }
    socket.send(JSON.stringify({ id, permits: 3, running: 0, queued: 0, capacity: 50, patience: 30_000 }))
  })
)
