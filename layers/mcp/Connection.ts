/**
 * A connection to a server, from the handshake to the end of its scope: the SDK's client, with everything that could
 * wait for ever under a limit and every answer taken as JSON of unknown shape.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPError } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  McpError,
  type Progress,
  ResultSchema,
  ToolListChangedNotificationSchema
} from "@modelcontextprotocol/sdk/types.js"
import { Data, Duration, Effect, Queue, type Scope } from "effect"
import { limits, type Looked, Looker } from "../../services/mcp/ToolDefinition.ts"
import type { Asked } from "./Asked.ts"
import { ConnectionLost, type Link, type Refused } from "./Link.ts"

/** For the handshake, and again for the list of tools. */
const patience = "10 seconds"
/** For an answer to a ping. */
const pulse = "10 seconds"
/** For the SDK, which has a limit of its own: ours end before it. In milliseconds, as long as a timer can be. */
const never = 2 ** 31 - 1

/** The server answered the call with an error of the protocol. */
export class CallRefused extends Data.TaggedError("CallRefused")<{ readonly reason: string }> {}

export interface Connection {
  readonly identity: { readonly name: string; readonly version: string; readonly protocol: string }
  /** Fails once the connection is lost. */
  readonly lost: Effect.Effect<never, ConnectionLost>
  readonly listTools: Effect.Effect<Looked, ConnectionLost>
  /** Ends when the server has answered; interrupting it tells the server that the call is cancelled. */
  readonly call: (
    tool: string,
    args: Readonly<Record<string, unknown>>,
    onProgress: (progress: Progress) => void
  ) => Effect.Effect<unknown, ConnectionLost | Refused | CallRefused>
  readonly ping: Effect.Effect<void, ConnectionLost>
  /** Returns when the server has said that its tools are others now. */
  readonly toolsChanged: Effect.Effect<void>
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 1_000)

const withinPatience = (what: string) =>
  Effect.timeoutOrElse({
    duration: patience,
    orElse: () =>
      Effect.fail(
        new ConnectionLost({
          reason: `it did not answer ${what} within ${Duration.format(Duration.fromInputUnsafe(patience))}`
        })
      )
  })

/** What a server may ask is told to it only where there is somebody to answer. */
const abilitiesOf = ({ answer, sample }: Asked) => ({
  ...(sample === undefined ? {} : { sampling: {} }),
  ...(answer === undefined ? {} : { elicitation: { form: { applyDefaults: true } } })
})

/** Shakes hands over a link. The link is the caller's, and closed by whoever opened it. */
export const make = Effect.fnUntraced(function* (
  link: Link,
  asked: Asked,
  version: string
): Effect.fn.Return<Connection, ConnectionLost, Scope.Scope> {
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => new Client({ name: "espalier", version }, { capabilities: abilitiesOf(asked) })),
    (client) =>
      Effect.andThen(
        link.farewell,
        Effect.promise(() => client.close().catch(() => undefined))
      )
  )
  const changes = yield* Queue.sliding<void>(1)
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- it is no event target
  client.onerror = (error) => link.violate(error.message)
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
    Queue.offerUnsafe(changes, undefined)
  })
  if (asked.sample !== undefined) {
    const { sample } = asked
    client.setRequestHandler(CreateMessageRequestSchema, ({ params }, { signal }) => sample(params, signal))
  }
  if (asked.answer !== undefined) {
    const { answer } = asked
    client.setRequestHandler(ElicitRequestSchema, ({ params }, { signal }) => answer(params, signal))
  }

  /** Fails at once when the connection is lost meanwhile, with the reason for that. */
  const whileConnected = <A, E>(effect: Effect.Effect<A, E>) => Effect.raceFirst(effect, link.lost)

  yield* Effect.tryPromise({
    try: (signal) => client.connect(link.transport, { signal, timeout: never }),
    catch: (error) => new ConnectionLost({ reason: `it did not shake hands: ${reasonOf(error)}` })
  }).pipe(withinPatience("initialize"), whileConnected)

  // Added last and so run first: whoever waits for an answer hears why there is none.
  yield* Effect.addFinalizer(() => Effect.sync(() => link.lose("the connection was closed")))

  const request = (method: string, params: Readonly<Record<string, unknown>>) =>
    Effect.tryPromise({
      try: (signal) => client.request({ method, params: { ...params } }, ResultSchema, { signal, timeout: never }),
      catch: (error) => new ConnectionLost({ reason: `it refused ${method}: ${reasonOf(error)}` })
    }).pipe(withinPatience(method), whileConnected)

  const listTools = Effect.gen(function* () {
    const looker = new Looker()
    if (client.getServerCapabilities()?.tools === undefined) return looker.found
    let cursor: string | undefined
    for (let page = 0; page < limits.pages; page++) {
      const answer: Readonly<Record<string, unknown>> = yield* request(
        "tools/list",
        cursor === undefined ? {} : { cursor }
      )
      const { nextCursor, tools } = answer
      if (!Array.isArray(tools)) return yield* new ConnectionLost({ reason: "its list of tools is no list" })
      for (const [index, tool] of tools.entries()) {
        looker.add(tool)
        if (index % 50 === 49) yield* Effect.yieldNow
      }
      if (typeof nextCursor !== "string" || nextCursor === cursor || looker.isFull) break
      cursor = nextCursor
    }
    return looker.found
  })

  return {
    identity: {
      name: (client.getServerVersion()?.name ?? "").slice(0, 200),
      version: (client.getServerVersion()?.version ?? "").slice(0, 100),
      protocol: link.protocol()
    },
    lost: link.lost,
    listTools,
    call: (tool, args, onProgress) =>
      Effect.suspend((): Effect.Effect<unknown, ConnectionLost | Refused | CallRefused> => {
        const params = { name: tool, arguments: { ...args } }
        // Asked before, since a request that the SDK could not send would stay in its books.
        const refused = link.refusal(Buffer.byteLength(JSON.stringify(params)) + 256)
        if (refused !== undefined) return Effect.fail(refused)
        return whileConnected(
          Effect.tryPromise({
            try: (signal) =>
              client.request({ method: "tools/call", params }, ResultSchema, {
                signal,
                timeout: never,
                onprogress: onProgress
              }),
            catch: (error) =>
              // That the connection is lost is heard from the link, before this.
              error instanceof McpError || error instanceof StreamableHTTPError
                ? new CallRefused({ reason: reasonOf(error) })
                : new ConnectionLost({ reason: reasonOf(error) })
          })
        )
      }),
    ping: Effect.tryPromise({
      try: (signal) => client.ping({ signal, timeout: never }),
      catch: (error) => error
    }).pipe(
      // An answer of any kind is a sign of life.
      Effect.catchIf(
        (error) => error instanceof McpError,
        () => Effect.void
      ),
      Effect.mapError((error) => new ConnectionLost({ reason: `it did not answer a ping: ${reasonOf(error)}` })),
      Effect.timeoutOrElse({
        duration: pulse,
        orElse: () => Effect.fail(new ConnectionLost({ reason: "it did not answer a ping" }))
      }),
      whileConnected
    ),
    toolsChanged: Queue.take(changes)
  }
})
