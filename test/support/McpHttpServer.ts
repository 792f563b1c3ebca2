/** An MCP server over streamable HTTP in this process, which behaves as it is told. */
import { Effect } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

export interface Behaviour {
  /** What `tools/call` is answered with: a plain answer, one beyond the cap, or a stream beyond it. */
  call?: "answer" | "huge" | "huge_stream" | "fail" | "never"
  /** The status of every answer. */
  status?: number
  /** Where every request is sent instead: the status, and what stands for the address. */
  redirect?: { readonly status: number; readonly to: string }
  /** How their ids begin. */
  session?: string
  /** Sessions are handed out, and this many requests later forgotten. */
  forgetsAfter?: number
}

interface Message {
  readonly id?: number
  readonly method?: string
  readonly params?: { readonly arguments?: { readonly text?: string }; readonly protocolVersion?: string }
}

const read = async (request: IncomingMessage): Promise<Message> => {
  let text = ""
  for await (const chunk of request) text += String(chunk)
  return text === "" ? {} : (JSON.parse(text) as Message)
}

const big = "x".repeat(1024 * 1024)

export const httpServer = (behaviour: Behaviour) =>
  Effect.gen(function* () {
    const seen = { headers: [] as Array<IncomingMessage["headers"]>, methods: [] as Array<string>, ended: 0 }
    let session = 0
    let requests = 0
    const answer = (message: Message, response: ServerResponse): void => {
      const { id, method, params } = message
      if (id === undefined) return void response.writeHead(202).end()
      const headers = {
        "content-type": "application/json",
        ...(behaviour.forgetsAfter === undefined ? {} : { "mcp-session-id": `${behaviour.session ?? "s"}-${session}` })
      }
      const reply = (result: object) =>
        void response.writeHead(200, headers).end(JSON.stringify({ jsonrpc: "2.0", id, result }))
      if (method === "initialize") {
        session++
        requests = 0
        return void response
          .writeHead(200, {
            ...headers,
            ...("mcp-session-id" in headers ? { "mcp-session-id": `${behaviour.session ?? "s"}-${session}` } : {})
          })
          .end(
            JSON.stringify({
              jsonrpc: "2.0",
              id,
              result: {
                protocolVersion: params?.protocolVersion,
                capabilities: { tools: {} },
                serverInfo: { name: "http", version: "1" }
              }
            })
          )
      }
      if (method === "tools/list") {
        return reply({ tools: [{ name: "echo", description: "", inputSchema: { type: "object" } }] })
      }
      if (method !== "tools/call") return reply({})
      switch (behaviour.call ?? "answer") {
        case "huge":
          response.writeHead(200, headers)
          for (let part = 0; part < 8; part++) response.write(big)
          return void response.end()
        case "huge_stream":
          response.writeHead(200, { "content-type": "text/event-stream" })
          response.write("data: ")
          for (let part = 0; part < 8; part++) response.write(big)
          return void response.end("\n\n")
        case "fail":
          return void response.writeHead(500).end("no luck today")
        case "never":
          response.on("close", () => seen.ended++)
          return undefined
        default:
          return reply({ content: [{ type: "text", text: params?.arguments?.text ?? "" }] })
      }
    }
    const server = createServer((request, response) => {
      seen.headers.push(request.headers)
      void read(request).then((message) => {
        seen.methods.push(`${request.method} ${message.method ?? ""}`.trim())
        const { redirect } = behaviour
        if (redirect !== undefined && request.url !== redirect.to) {
          return response.writeHead(redirect.status, { location: redirect.to }).end()
        }
        if (behaviour.status !== undefined) return response.writeHead(behaviour.status).end()
        if (request.method === "DELETE") return response.writeHead(200).end()
        if (request.method !== "POST") return response.writeHead(405).end()
        const isKnown =
          behaviour.forgetsAfter === undefined || message.method === "initialize" || requests < behaviour.forgetsAfter
        requests++
        return isKnown ? answer(message, response) : response.writeHead(404).end()
      })
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve))),
      () =>
        Effect.promise(
          () =>
            new Promise<void>((resolve) => {
              server.close(() => resolve())
              server.closeAllConnections()
            })
        )
    )
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, seen }
  })
