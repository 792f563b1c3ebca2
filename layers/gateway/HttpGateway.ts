/**
 * The gateway on one port: RPC over WebSockets at `/rpc/ws` and over HTTP at `/rpc`, topics as server-sent events at
 * `/events/{topic}`, a page that says what this is, `/health` for whether the process serves, and `/health/ready` for whether all of its
 * parts run. Stopping it refuses what is new, gives the answers that are owed and lets go of every connection.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ByteSize, Effect, Layer, Predicate, Tracer } from "effect"
import { HttpIncomingMessage, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { RpcSerialization, RpcServer } from "effect/rpc"
import { createServer } from "node:http"
import { AddressUnavailable, PortInUse } from "../../services/gateway/AddressUnavailable.ts"
import { GatewayRpcs } from "../../services/gateway/GatewayRpcs.ts"
import { type ConnectionLimits, defaultLimits } from "../../services/gateway/ConnectionLimits.ts"
import { Root } from "../../services/supervision/Places.ts"
import { isReady } from "../../services/supervision/isReady.ts"
import * as Doorkeeper from "./Doorkeeper.ts"
import * as Edge from "./Edge.ts"
import * as EventStream from "./EventStream.ts"
import * as Frames from "./Frames.ts"
import * as Gate from "./Gate.ts"
import * as GatewayHandlers from "./GatewayHandlers.ts"
import * as Guard from "./Guard.ts"
import * as SocketTransport from "./SocketTransport.ts"
import * as Vigil from "./Vigil.ts"

export interface Options extends Edge.Options {
  /** Default 127.0.0.1. */
  readonly host?: string | undefined
  /** 0 takes any port that is free. */
  readonly port: number
  /** Shown on the page at `/`. */
  readonly version: string
  /** What connections may cost, where it is to differ from `defaultLimits`. */
  readonly limits?: Partial<ConnectionLimits> | undefined
}

const listen = ({ host = "127.0.0.1", limits, port }: Options) =>
  Layer.effect(
    HttpServer.HttpServer,
    NodeHttpServer.make(
      () => {
        const server = createServer({
          // Together no more than ten seconds for whoever says nothing, or says it a letter at a time.
          headersTimeout: 8_000,
          requestTimeout: 9_000,
          connectionsCheckingInterval: 1_000,
          // A peer that vanished without a word is noticed by the system.
          keepAlive: true,
          keepAliveInitialDelay: 15_000,
          noDelay: true
        })
        Doorkeeper.guard(server, { ...defaultLimits, ...limits })
        return server
      },
      { host, port, gracefulShutdownTimeout: "1 second", websocket: { maxPayload: Frames.maxFrameSize } }
    ).pipe(
      Effect.mapError(({ cause }) => {
        const code = Predicate.hasProperty(cause, "code") ? String(cause.code) : "unknown"
        return code === "EADDRINUSE"
          ? new PortInUse({ host, port })
          : new AddressUnavailable({ host, port, detail: code })
      })
    )
  ).pipe(Layer.provideMerge(NodeHttpServer.layerHttpServices))

/** Runs the RPC server behind a transport for as long as the scope is open. */
const serveRpc = Effect.fnUntraced(function* (
  name: string,
  transport: RpcServer.Protocol["Service"],
  { limits }: Options
) {
  const { callsPerSecond } = { ...defaultLimits, ...limits }
  const rate = { name, limit: callsPerSecond, per: "1 second", burst: callsPerSecond * 2 } as const
  const { forget, protocol } = yield* Guard.make(GatewayRpcs, transport, rate)
  yield* RpcServer.make(GatewayRpcs, {
    disableFatalDefects: true,
    // A span is a tenth of what a call costs: there are none where nobody collects them.
    disableTracing: (yield* Tracer.Tracer) === Tracer.nativeTracer,
    onDisconnect: (clientId) => Effect.sync(() => forget(clientId))
  }).pipe(Effect.provideService(RpcServer.Protocol, protocol), Effect.forkScoped)
})

const rpcOverSockets = (options: Options) =>
  HttpRouter.use((router) =>
    Effect.gen(function* () {
      const { httpEffect, protocol } = yield* SocketTransport.make
      yield* serveRpc("calls over a socket", protocol, options)
      yield* router.add("GET", "/rpc/ws", httpEffect)
    })
  )

const rpcOverHttp = (options: Options) =>
  HttpRouter.use((router) =>
    Effect.gen(function* () {
      const { httpEffect, protocol } = yield* RpcServer.makeProtocolWithHttpEffect().pipe(
        Effect.provideService(RpcSerialization.RpcSerialization, Frames.serialization)
      )
      yield* serveRpc("calls over HTTP", protocol, options)
      yield* router.add("POST", "/rpc", (request) =>
        // Read here, so that a body that is too long is refused as that; the protocol then finds it read.
        Effect.matchEffect(request.text, {
          onFailure: () =>
            Effect.sync(() => {
              NodeHttpServerRequest.toIncomingMessage(request).pause()
              return HttpServerResponse.text(`${Edge.tooLong}\n`, { status: 413, headers: { connection: "close" } })
            }),
          onSuccess: () => httpEffect
        })
      )
    })
  )

const events = HttpRouter.use((router) =>
  Effect.flatMap(EventStream.make, (httpEffect) => router.add("GET", "/events/:topic", httpEffect))
)

const pages = ({ version }: Options) =>
  HttpRouter.use((router) =>
    Effect.gen(function* () {
      const gate = yield* Gate.Gate
      const root = yield* Root
      yield* router.add("GET", "/", (request) => {
        const url = `http://${request.headers["host"] ?? "127.0.0.1"}`
        return HttpServerResponse.json({
          name: "espalier",
          version,
          rpc: { websocket: `${url.replace("http", "ws")}/rpc/ws`, http: `${url}/rpc` },
          events: `${url}/events/{topic}`,
          health: `${url}/health`,
          ready: `${url}/health/ready`,
          try: [`ESPALIER_URL=${url} npx espalier tool list`, `ESPALIER_URL=${url} npx espalier tree`]
        })
      })
      yield* router.add("GET", "/health", () =>
        Effect.sync(() =>
          gate.isOpen() ? HttpServerResponse.text("ok\n") : HttpServerResponse.text("shutting down\n", { status: 503 })
        )
      )
      // Whoever asks has not said who they are, so no part is named: that is in the tree.
      yield* router.add("GET", "/health/ready", () =>
        Effect.map(isReady(root), (ready) =>
          ready && gate.isOpen()
            ? HttpServerResponse.jsonUnsafe({ status: "ready" })
            : HttpServerResponse.jsonUnsafe({ status: "not_ready" }, { status: 503 })
        )
      )
    })
  )

/** All that is answered on the port, and what is asked of a request before. */
export const routes = (options: Options) =>
  Layer.mergeAll(rpcOverSockets(options), rpcOverHttp(options), events, pages(options), Edge.layer(options)).pipe(
    Layer.provide(GatewayHandlers.layer),
    Layer.provide(Vigil.layer(options.limits)),
    Layer.provide(Gate.layer)
  )

/** Built last, so that it is the first to go. */
const drain = Layer.effectDiscard(Effect.flatMap(Gate.Gate, (gate) => Effect.addFinalizer(() => gate.drain)))

/** The server, listening; `HttpServer` tells its address. */
export const layer = (options: Options) =>
  drain.pipe(
    Layer.provideMerge(
      HttpRouter.serve(routes(options), {
        disableLogger: true,
        disableListenLog: true
      })
    ),
    Layer.provide(Gate.layer),
    Layer.provide(Layer.succeed(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe("1 MiB"))),
    Layer.provideMerge(listen(options))
  )

/** Where the server can be reached: `http://127.0.0.1:4747`. */
export const url = HttpServer.addressFormattedWith((address) => Effect.succeed(address))
