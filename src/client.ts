/**
 * Typed client of a running server, for Node and browsers: one method for each operation of `GatewayRpcs`.
 *
 *     const program = Effect.gen(function* () {
 *       const espalier = yield* Client
 *       const session = yield* espalier.StartSession({ title: "first" })
 *       yield* espalier.SendMessage({ sessionId: session.id, text: "hello" })
 *     })
 *     program.pipe(Effect.provide(layer({ url: "http://127.0.0.1:4747" })))
 *
 * A call ends with its result, with one of its own typed errors, or with `ServerUnreachable`. Payloads are checked
 * before they are sent.
 */
import { Cause, Context, Effect, Layer, Predicate, Redacted, Schema, type Scope, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { type Rpc, RpcClient, RpcClientError, type RpcGroup, RpcSchema, RpcSerialization } from "effect/rpc"
import { Socket } from "effect/socket"
import { GatewayRpcs } from "../services/gateway/GatewayRpcs.ts"
import { ServerUnreachable } from "../services/gateway/ServerUnreachable.ts"
import type { Delivery } from "../services/events/RuntimeEvent.ts"
import type { Topic } from "../services/events/Topic.ts"
import { InvalidInput } from "../services/InvalidInput.ts"
import { BatchingWebSocket } from "./client/BatchingWebSocket.ts"
import * as Following from "./client/follow.ts"
import * as reconnect from "./client/reconnect.ts"

type Operations = RpcGroup.Rpcs<typeof GatewayRpcs>

type Call<R extends Rpc.Any> = R extends Rpc.Any
  ? (
      payload: Rpc.PayloadConstructor<R>
    ) => Rpc.Success<R> extends Stream.Stream<infer A, infer E, infer _>
      ? Stream.Stream<A, E | ServerUnreachable>
      : Effect.Effect<Rpc.Success<R>, Rpc.Error<R> | ServerUnreachable>
  : never

/** Every operation by its name. */
export type Operation = { readonly [Tag in Operations["_tag"]]: Call<Rpc.ExtractTag<Operations, Tag>> }

export class Client extends Context.Service<Client, Operation>()("espalier/Client") {}

export interface Options {
  /** Where the server is: `http://127.0.0.1:4747`. */
  readonly url: string
  /** Sent with the handshake. Browsers cannot send one over WebSockets: use `layerHttp` there. */
  readonly token?: Redacted.Redacted | undefined
}

const authorization = ({ token }: Options): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }

/** What the system said of a failed transport, without its wrappers. */
const detailOf = ({ reason }: RpcClientError.RpcClientError): string => {
  if (reason._tag === "SocketOpenError") return "the connection could not be opened"
  let detail: string = reason._tag
  let cause: unknown = reason
  for (let depth = 0; depth < 6 && Predicate.isObjectKeyword(cause); depth++) {
    if (Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code)) return cause.code
    if (Predicate.hasProperty(cause, "message") && Predicate.isString(cause.message) && cause.message !== "") {
      detail = cause.message
    }
    cause = Predicate.hasProperty(cause, "cause")
      ? cause.cause
      : Predicate.hasProperty(cause, "error")
        ? cause.error
        : undefined
  }
  return detail
}

/** Sends one call: an `Effect`, or a `Stream` for an operation that streams. */
export type Send = (tag: Operations["_tag"], payload: never) => unknown

/** The operations over whatever sends them: payloads checked, failures of the transport in one error. */
export const fromSend = (url: string, send: Send): Operation => {
  const toUnreachable = <E>(error: E) =>
    error instanceof RpcClientError.RpcClientError ? new ServerUnreachable({ url, detail: detailOf(error) }) : error
  /** A frame that could not be written because the socket had just broken is a defect to the protocol. */
  const ofBroken = <E>(cause: Cause.Cause<E>): Effect.Effect<never, E | ServerUnreachable> =>
    cause.reasons.some((reason) => reason._tag === "Die" && Predicate.isTagged(reason.defect, "SocketError"))
      ? Effect.fail(new ServerUnreachable({ url, detail: "the connection broke" }))
      : Effect.failCause(cause)
  const operation = (rpc: Rpc.AnyWithProps) => {
    const check = Schema.decodeUnknownEffect(Schema.toType(rpc.payloadSchema), { errors: "all" }) as (
      payload: unknown
    ) => Effect.Effect<never, Schema.SchemaError>
    return (payload: unknown) => {
      const answer = Effect.map(
        Effect.mapError(check(payload), (error) => InvalidInput.fromSchema(error, rpc._tag)),
        (payload) => send(rpc._tag as Operations["_tag"], payload)
      )
      return RpcSchema.isStreamSchema(rpc.successSchema)
        ? Stream.unwrap(answer as Effect.Effect<Stream.Stream<unknown>>).pipe(
            Stream.mapError(toUnreachable),
            Stream.catchCauseIf(Cause.hasDies, (cause) => Stream.fromEffect(ofBroken(cause)))
          )
        : Effect.flatten(answer as Effect.Effect<Effect.Effect<unknown>>).pipe(
            Effect.mapError(toUnreachable),
            Effect.catchCauseIf(Cause.hasDies, ofBroken)
          )
    }
  }
  // One generic function stands behind every operation: the group's own types tell what each takes and gives.
  return Client.of(
    Object.fromEntries(
      [...GatewayRpcs.requests].map(([tag, rpc]) => [tag, operation(rpc as unknown as Rpc.AnyWithProps)])
    ) as unknown as Operation
  )
}

const overProtocol = (url: string) =>
  Effect.map(RpcClient.make(GatewayRpcs, { flatten: true }), (send) => fromSend(url, send))

/** Node's own constructor takes headers for the handshake; that of a browser refuses them. */
const webSockets = Layer.succeed(Socket.WebSocketConstructor, (url, options) =>
  options === undefined ? new BatchingWebSocket(url) : new BatchingWebSocket(url, options as string | Array<string>)
)

/**
 * Over one WebSocket, which is opened again when it breaks. Calls and subscriptions that were under way then fail with
 * `ServerUnreachable`; `follow` is a subscription that goes on.
 */
export const layer = (options: Options): Layer.Layer<Client> => {
  const url = new URL("/rpc/ws", options.url.replace(/^http/, "ws")).toString()
  return Layer.effect(Client, overProtocol(options.url)).pipe(
    Layer.provide(
      Layer.unwrap(
        Effect.map(reconnect.socketSchedule, (retryPolicy) => RpcClient.layerProtocolSocket({ retryPolicy }))
      )
    ),
    Layer.provide(
      Socket.layerWebSocket(url, options.token === undefined ? undefined : { headers: authorization(options) })
    ),
    Layer.provide([webSockets, RpcSerialization.layerNdjson])
  )
}

/** Over HTTP: a request for each call. */
export const layerHttp = (options: Options): Layer.Layer<Client> => {
  const protocol = Layer.effect(
    RpcClient.Protocol,
    Effect.flatMap(HttpClient.HttpClient, (client) =>
      RpcClient.makeProtocolHttp(
        client.pipe(
          HttpClient.mapRequest(HttpClientRequest.prependUrl(new URL("/rpc", options.url).toString())),
          HttpClient.mapRequest(HttpClientRequest.setHeaders(authorization(options))),
          // Whoever refuses a request as such (this server, or a proxy before it) says so by the status.
          HttpClient.filterStatusOk
        )
      )
    )
  )
  return Layer.effect(Client, overProtocol(options.url)).pipe(
    Layer.provide(protocol),
    Layer.provide([FetchHttpClient.layer, RpcSerialization.layerNdjson])
  )
}

/** A client over a WebSocket that is closed with the scope. */
export const make = (options: Options): Effect.Effect<Operation, never, Scope.Scope> =>
  Effect.map(Layer.build(layer(options)), (context) => Context.get(context, Client))

/**
 * The events of a topic from a sequence on, or from now on, over whatever happens to the connection or the server. It
 * fails only with what trying again does not heal: no such session, a cursor that is no longer kept.
 *
 *     follow(Topic.ofSession(session.id), { from: 1 }).pipe(Stream.runForEach(show))
 */
export const follow = (
  topic: Topic,
  options?: Following.FollowOptions
): Stream.Stream<Delivery, Following.FollowError, Client> =>
  Stream.unwrap(Effect.map(Client, ({ Subscribe }) => Following.follow(Subscribe, topic, options)))

export type { FollowError, FollowOptions } from "./client/follow.ts"
export * from "../services/gateway/ServerUnreachable.ts"
