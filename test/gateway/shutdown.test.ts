import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { HttpServer } from "effect/http"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import { ServerUnreachable } from "../../services/gateway/ServerUnreachable.ts"
import * as Topic from "../../services/events/Topic.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import * as Client from "../../src/client.ts"
import * as GatewayServer from "../support/GatewayServer.ts"

const start = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(GatewayServer.server(), scope)
  const url = yield* Effect.provideService(
    HttpGateway.url,
    HttpServer.HttpServer,
    Context.get(context, HttpServer.HttpServer)
  )
  return { url, stop: Scope.close(scope, Exit.void) }
})

describe("stopping the gateway", () => {
  it.live("open connections and subscriptions do not hold it: they are closed with 1012", () =>
    Effect.gen(function* () {
      const { stop, url } = yield* start
      const { closed, send } = yield* Effect.promise(() => GatewayServer.socket(url))
      send({ _tag: "Request", id: 1, tag: "Subscribe", payload: { topic: "system:agents", from: 1 }, headers: [] })
      const http = yield* Effect.promise(() =>
        fetch(`${url}/rpc`, {
          method: "POST",
          body: JSON.stringify({
            _tag: "Request",
            id: 1,
            tag: "Subscribe",
            payload: { topic: "system:agents" },
            headers: []
          }),
          headers: { "content-type": "application/x-ndjson" }
        }).catch(() => undefined)
      ).pipe(Effect.forkChild({ startImmediately: true }))
      yield* Effect.sleep("50 millis")
      const before = performance.now()
      yield* stop
      assert.isBelow(performance.now() - before, 4_000)
      assert.strictEqual(yield* Effect.promise(() => closed), 1012)
      yield* Fiber.interrupt(http)
    })
  )

  it.live("an answer that is owed is given; a call that comes later is told why it is refused", () =>
    Effect.gen(function* () {
      const { stop, url } = yield* start
      const { next, send } = yield* Effect.promise(() => GatewayServer.socket(url))
      assert.strictEqual((yield* Effect.promise(() => fetch(`${url}/health/ready`))).status, 200)
      send({ _tag: "Request", id: 1, tag: "GetSession", payload: { sessionId: "ses_slow" }, headers: [] })
      yield* Effect.sleep("50 millis")
      const stopping = yield* Effect.forkChild(stop, { startImmediately: true })
      yield* Effect.sleep("50 millis")
      send({ _tag: "Request", id: 2, tag: "PoolStatus", payload: null, headers: [] })
      const refusal = yield* Effect.promise(() => next(({ requestId }) => requestId === 2))
      assert.include(JSON.stringify(refusal), "ShuttingDown")
      assert.strictEqual((yield* Effect.promise(() => fetch(`${url}/health`))).status, 503)
      const ready = yield* Effect.promise(() => fetch(`${url}/health/ready`))
      assert.strictEqual(ready.status, 503)
      assert.deepStrictEqual(yield* Effect.promise(() => ready.json()), { status: "not_ready" })
      send({ _tag: "Interrupt", requestId: 1 })
      yield* Fiber.join(stopping)
    })
  )

  it.live("a client's calls end with ServerUnreachable, and one without a server says what to start", () =>
    Effect.gen(function* () {
      const { stop, url } = yield* start
      const error = yield* Effect.gen(function* () {
        const espalier = yield* Client.Client
        yield* espalier.PoolStatus()
        const subscription = yield* espalier
          .Subscribe({ topic: Topic.agents })
          .pipe(Stream.runDrain, Effect.flip, Effect.forkChild({ startImmediately: true }))
        yield* Effect.sleep("50 millis")
        yield* stop
        return yield* Fiber.join(subscription)
      }).pipe(Effect.provide(Client.layer({ url })))
      assert.instanceOf(error, ServerUnreachable)
      assert.include(error.message, "shutting down")
      for (const clientLayer of [Client.layer, Client.layerHttp]) {
        const refused = yield* Client.Client.use((espalier) =>
          Effect.flip(espalier.GetSession({ sessionId: SessionId.make("ses_a") }))
        ).pipe(Effect.provide(clientLayer({ url })))
        assert.instanceOf(refused, ServerUnreachable)
        assert.include(refused.message, "npm start")
      }
    })
  )
})
