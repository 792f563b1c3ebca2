/**
 * An HTTP server on the loopback that answers as a test tells it to, byte by byte if need be: events, errors, silence, a
 * line that is cut off, garbage. It remembers what it was asked.
 */
import { Effect, type Scope } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"

export type Step =
  /** One server-sent event, whatever is in it. */
  | { readonly _tag: "Data"; readonly data: string }
  /** Bytes as they are. */
  | { readonly _tag: "Raw"; readonly bytes: string | Uint8Array }
  /** Says nothing until somebody hangs up. */
  | { readonly _tag: "Silence" }
  | { readonly _tag: "Wait"; readonly milliseconds: number }
  /** Breaks the connection in the middle. */
  | { readonly _tag: "Cut" }
  /** Goes on when the test says so. */
  | { readonly _tag: "Gate"; readonly opened: Promise<void> }

export type Reply =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body: string }
  | ReadonlyArray<Step>

export interface Asked<Body> {
  readonly path: string
  readonly headers: IncomingMessage["headers"]
  readonly body: Body
}

export type Script<Body> = (asked: Asked<Body>, index: number) => Reply

export const raw = (bytes: string | Uint8Array): Step => ({ _tag: "Raw", bytes })
export const data = (data: string): Step => ({ _tag: "Data", data })
export const wait = (milliseconds: number): Step => ({ _tag: "Wait", milliseconds })
export const silence: Step = { _tag: "Silence" }
export const cut: Step = { _tag: "Cut" }
export const gate = (opened: Promise<void>): Step => ({ _tag: "Gate", opened })

const encoder = new TextEncoder()

/** What steps that wait for nothing send. */
export const bytesOf = (steps: ReadonlyArray<Step>): Uint8Array =>
  Buffer.concat(
    steps.map((step) =>
      step._tag === "Data"
        ? encoder.encode(`data: ${step.data}\n\n`)
        : step._tag === "Raw"
          ? typeof step.bytes === "string"
            ? encoder.encode(step.bytes)
            : step.bytes
          : new Uint8Array()
    )
  )

const writeSteps = async (response: ServerResponse, steps: ReadonlyArray<Step>): Promise<void> => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  response.flushHeaders()
  for (const step of steps) {
    if (response.destroyed) return
    switch (step._tag) {
      case "Data":
      case "Raw":
        response.write(bytesOf([step]))
        break
      case "Wait":
        await new Promise((resolve) => setTimeout(resolve, step.milliseconds))
        break
      case "Gate":
        await step.opened
        break
      case "Cut":
        // After what was written has left.
        await new Promise((resolve) => setTimeout(resolve, 20))
        response.socket?.destroy()
        return
      // Silence
      default:
        return
    }
  }
  response.end()
}

const readBody = async (request: IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString("utf8")
}

export interface ScriptedServer<Body> {
  /** With `/v1`, as clients want it. */
  readonly url: string
  readonly asked: ReadonlyArray<Asked<Body>>
  /** Requests whose client has gone before the answer was whole. */
  readonly abandoned: () => number
  readonly open: () => number
  /** Says something else from now on. */
  readonly follow: (script: Script<Body>) => void
}

export const make = <Body>(
  decode: (text: string) => Body,
  script: Script<Body>
): Effect.Effect<ScriptedServer<Body>, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      let current = script
      let open = 0
      let abandoned = 0
      const asked: Array<Asked<Body>> = []
      const server = createServer((request, response) => {
        open++
        response.on("close", () => {
          open--
          if (!response.writableFinished) abandoned++
        })
        void readBody(request).then(async (text) => {
          const entry = { path: request.url ?? "", headers: request.headers, body: decode(text) }
          asked.push(entry)
          const reply = current(entry, asked.length - 1)
          if (!("status" in reply)) return writeSteps(response, reply)
          response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers })
          response.end(reply.body)
          return undefined
        })
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      return {
        url: `http://127.0.0.1:${port}/v1`,
        asked,
        abandoned: () => abandoned,
        open: () => open,
        follow: (next: Script<Body>) => {
          current = next
        },
        close: () =>
          new Promise<void>((resolve) => {
            server.close(() => resolve())
            server.closeAllConnections()
          })
      }
    }),
    ({ close }) => Effect.promise(close)
  )
