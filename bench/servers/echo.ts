/** A bare `ws` server that parses a frame and sends the same answer as the others. */
import { WebSocketServer } from "ws"
import { announce, answer } from "./meter.ts"

const wss = new WebSocketServer({ port: 0, host: "127.0.0.1" }, () => {
  const address = wss.address()
  if (typeof address === "object" && address !== null) announce(address.port)
})
wss.on("connection", (socket) =>
  socket.on("message", (data: Buffer) => {
    const { id } = JSON.parse(data.toString("utf8")) as { id: number }
    socket.send(JSON.stringify({ id, ...answer }))
  })
)
