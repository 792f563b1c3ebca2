/**
 * MCP's streamable HTTP transport: the SDK's own, over a `fetch` that reads no more of one message than the cap, whose
 * requests end with the scope, and which speaks to the declared origin and to no other: what is declared for a server
 * (its headers, and the session that it gave us) is for that server, wherever it may send us.
 */
import { StreamableHTTPClientTransport, StreamableHTTPError } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import { Effect } from "effect"
import type { McpTransport } from "../../services/mcp/McpConfig.ts"
import { type Link, makeFaults, Refused } from "./Link.ts"
import { maxMessage } from "./Messages.ts"

/** Requests under way, calls and notifications together. */
const maxRequests = 256
/** Bytes of one message to a server. */
const maxSent = 1024 * 1024

const lf = 0x0a
const cr = 0x0d

/**
 * Passes a body on until one message of it is larger than the cap: all of it, or where it is a stream of events the part
 * since the last blank line.
 */
const capped = (isEvents: boolean, tell: (reason: string) => void) => {
  let size = 0
  let isLineEmpty = false
  return new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      if (isEvents) {
        for (const byte of chunk) {
          if (byte === lf) {
            if (isLineEmpty) size = 0
            isLineEmpty = true
          } else if (byte !== cr) isLineEmpty = false
          size++
        }
      } else size += chunk.length
      if (size <= maxMessage) return controller.enqueue(chunk)
      const reason = `it sent a message larger than ${maxMessage / 1024 / 1024} MiB`
      tell(reason)
      controller.error(new Error(reason))
    }
  })
}

const capBody = (response: Response, tell: (reason: string) => void): Response => {
  if (response.body === null) return response
  const isEvents = response.headers.get("content-type")?.includes("text/event-stream") === true
  return new Response(response.body.pipeThrough(capped(isEvents, tell)), {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers
  })
}

/** Redirects in a row that are followed. */
const maxRedirects = 3

/**
 * Asks, and follows where the server sends us within its own origin, with the same method and body; a redirect to another
 * one, or one that would turn a request into another, is told and not followed.
 */
const ask = async (
  address: string | URL,
  init: RequestInit | undefined,
  tell: (reason: string) => void,
  redirects = 0
): Promise<Response> => {
  const response = await fetch(address, { ...init, redirect: "manual" })
  const location = response.headers.get("location")
  if (response.status < 300 || response.status > 399 || response.status === 304 || location === null) return response
  await response.body?.cancel()
  const { origin } = new URL(address)
  const to = URL.canParse(location, address) ? new URL(location, address) : undefined
  const isSame =
    response.status === 307 || response.status === 308 || init?.method === undefined || init.method === "GET"
  if (to?.origin === origin && isSame && redirects < maxRedirects) return ask(to, init, tell, redirects + 1)
  const reason =
    to !== undefined && to.origin !== origin
      ? `it redirects to ${to.origin}, which is not followed; declare that address if it is meant`
      : `it redirects with status ${response.status}, which is not followed`
  tell(reason)
  throw new Error(reason)
}

/** What of a failure a person can act on, without the wrappers. */
const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error && error.cause.message !== ""
    ? `${error.message}: ${error.cause.message}`
    : error.message
}

/** Makes the transport; it is closed, and its session on the server ended, when the scope closes. */
export const open = Effect.fnUntraced(function* (
  server: string,
  { headers, url }: Extract<McpTransport, { readonly type: "http" }>
) {
  const { lose, lost, onLost, violate } = yield* makeFaults(server)
  const { origin } = new URL(url)
  let requests = 0
  let isDown = false
  const fail = (reason: string) => {
    isDown = true
    lose(reason)
  }
  const http: StreamableHTTPClientTransport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { ...headers } },
    fetch: async (address, init) => {
      requests++
      try {
        // Nothing of what is declared for this server is for anybody else.
        if (new URL(address).origin !== origin) throw new Error(`${String(address)} is not of its origin`)
        const response = await ask(address, init, fail)
        const isForgotten = response.status === 404 && http.sessionId !== undefined
        // To a GET the same may only mean that the server has no stream of its own.
        if (init?.method === "POST" && (isForgotten || response.status === 401 || response.status === 403)) {
          fail(
            isForgotten
              ? "it has forgotten our session"
              : `it answered with status ${response.status}; see the headers that are declared for it`
          )
        }
        return capBody(response, fail)
      } catch (error) {
        // That nobody answers shows in the first request; one that was given up by us tells nothing.
        if (init?.signal?.aborted !== true) fail(`it cannot be reached (${reasonOf(error)})`)
        throw error
      } finally {
        requests--
      }
    },
    reconnectionOptions: {
      initialReconnectionDelay: 1_000,
      maxReconnectionDelay: 30_000,
      reconnectionDelayGrowFactor: 1.5,
      maxRetries: 5
    }
  })
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- it is no event target
  http.onerror = (error) => {
    // What was given up by us is no fault of the server's, and what it does not offer neither.
    const isOurs = error.name === "AbortError"
    if (!isOurs && !(error instanceof StreamableHTTPError && error.code === 404)) violate(error.message)
  }
  yield* Effect.addFinalizer(() => Effect.promise(() => http.close().catch(() => undefined)))
  return {
    // The SDK's class says `undefined` where its own interface says absent.
    transport: http as Transport,
    farewell: Effect.suspend(() =>
      isDown
        ? Effect.void
        : Effect.asVoid(
            Effect.timeoutOption(
              Effect.promise(() => http.terminateSession().catch(() => undefined)),
              "2 seconds"
            )
          )
    ),
    protocol: () => http.protocolVersion ?? "",
    lose,
    lost,
    onLost,
    refusal: (bytes) => {
      if (bytes > maxSent) {
        return new Refused({
          reason: `a message of ${bytes} bytes is larger than the ${maxSent} that a server is sent`
        })
      }
      return requests >= maxRequests ? new Refused({ reason: `${requests} requests to it are under way` }) : undefined
    },
    violate
  } satisfies Link
})
