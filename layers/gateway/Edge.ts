/**
 * What is asked of a request before anything of it is read: that it names this server by a name of this machine, that
 * no foreign web page sent it, and that its body says it is JSON and not too long. A page somewhere can make a browser send requests
 * here, and can give its own name an address of ours; it cannot choose the Host or the Origin that the browser tells.
 */
import { Effect } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { maxFrameSize } from "./Frames.ts"

export interface Options {
  /** Names, besides those of this machine, by which the server may be called. */
  readonly hosts?: ReadonlyArray<string> | undefined
}

const local = ["localhost", "127.0.0.1", "[::1]"]

/** The name in a Host header or in an origin, without the port. */
const nameOf = (host: string): string => host.replace(/:\d{1,5}$/, "").toLowerCase()

const refused = (status: number, message: string) =>
  HttpServerResponse.text(`${message}\n`, { status, ...(status === 413 ? { headers: { connection: "close" } } : {}) })

/** What a body that is too long is told. */
export const tooLong = `a body is at most ${maxFrameSize} bytes`

/** Why a request is refused, or undefined when it is not. */
export const judge = (
  request: {
    readonly method: string
    readonly url: string
    readonly headers: Readonly<Record<string, string | undefined>>
  },
  hosts: ReadonlyArray<string> = []
): readonly [status: number, message: string] | undefined => {
  const { host, origin } = request.headers
  if (host === undefined || ![...local, ...hosts].includes(nameOf(host))) {
    return [403, `this server answers to ${local.join(", ")}; the request asked for ${host ?? "no host"}`]
  }
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
    return [403, "requests from other origins are not taken"]
  }
  if (
    request.method === "POST" &&
    !/^application\/(x-ndjson|json|ndjson)\s*(;|$)/i.test(request.headers["content-type"] ?? "")
  ) {
    return [415, "send a body of type application/x-ndjson: one JSON message a line"]
  }
  // What is told to be too long is not waited for.
  if (Number(request.headers["content-length"] ?? 0) > maxFrameSize) return [413, tooLong]
  return undefined
}

export const layer = ({ hosts }: Options) =>
  HttpRouter.middleware(
    (app) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const verdict = judge(request, hosts)
        return verdict === undefined
          ? Effect.map(app, HttpServerResponse.setHeader("x-content-type-options", "nosniff"))
          : Effect.succeed(refused(...verdict))
      }),
    { global: true }
  )
