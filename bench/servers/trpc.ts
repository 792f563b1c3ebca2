/** The same call, with the same answer, on tRPC over `ws`. */
import { initTRPC } from "@trpc/server"
import { applyWSSHandler } from "@trpc/server/adapters/ws"
import { WebSocketServer } from "ws"
import { announce, answer } from "./meter.ts"

const t = initTRPC.create()
export const router = t.router({
  status: t.procedure.query(() => answer)
})

const wss = new WebSocketServer({ port: 0, host: "127.0.0.1" }, () => {
  const address = wss.address()
  if (typeof address === "object" && address !== null) announce(address.port)
})
applyWSSHandler({ wss, router })
