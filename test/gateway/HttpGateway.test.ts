import { assert, describe, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { Topic } from "../../services/events/Topic.ts"
import { PortInUse } from "../../services/gateway/AddressUnavailable.ts"
import { InternalError } from "../../services/gateway/InternalError.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { SessionNotFound } from "../../services/session/SessionManager.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"
import { WorkerNotFound } from "../../services/worker/WorkerPool.ts"
import * as Client from "../../src/client.ts"
import { listed, secret } from "../support/FakeRuntime.ts"
import * as GatewayServer from "../support/GatewayServer.ts"

const { ServerUrl, logged, raw, socket } = GatewayServer

const transports = [
  ["WebSocket", Client.layer],
  ["HTTP", Client.layerHttp]
] as const

const call = (id: number, tag: string, payload: unknown = null) => ({ _tag: "Request", id, tag, payload, headers: [] })

layer(GatewayServer.layer, { excludeTestServices: true })("the gateway", (it) => {
  for (const [transport, clientLayer] of transports) {
    const using = <A, E>(program: Effect.Effect<A, E, Client.Client>) =>
      Effect.flatMap(ServerUrl, (url) => Effect.provide(program, clientLayer({ url })))

    describe(`over ${transport}`, () => {
      it.effect("starts a session, takes a message and streams what happened", () =>
        using(
          Effect.gen(function* () {
            const espalier = yield* Client.Client
            const session = yield* espalier.StartSession({ title: "first" })
            const { sequence } = yield* espalier.SendMessage({ sessionId: session.id, text: "hello" })
            assert.strictEqual(sequence, 2)
            const seen = yield* espalier
              .Subscribe({ topic: Topic.make(`session:${session.id}`), from: 1 })
              .pipe(Stream.take(2), Stream.runCollect)
            assert.deepStrictEqual(
              seen.map((delivery) => (delivery._tag === "Event" ? delivery.event._tag : delivery._tag)),
              ["SessionStarted", "MessageReceived"]
            )
            assert.strictEqual((yield* espalier.SupervisionTree()).id, "espalier")
          })
        )
      )

      it.effect("answers with the operation's own errors, as classes with their sentence", () =>
        using(
          Effect.gen(function* () {
            const espalier = yield* Client.Client
            const sessionId = SessionId.make("ses_nobody")
            const workerId = WorkerId.make("wrk_nobody")
            const error = yield* Effect.flip(espalier.GetSession({ sessionId }))
            assert.deepStrictEqual(error, new SessionNotFound({ sessionId }))
            assert.include(error.message, "ses_nobody")
            const subscribe = (topic: string) =>
              Effect.flip(Stream.runDrain(espalier.Subscribe({ topic: Topic.make(topic), from: 1 })))
            assert.deepStrictEqual(yield* subscribe("session:ses_nobody"), new SessionNotFound({ sessionId }))
            assert.deepStrictEqual(yield* subscribe("worker:wrk_nobody"), new WorkerNotFound({ workerId }))
          })
        )
      )

      it.effect("a client is told what does not fit before anything is sent", () =>
        using(
          Effect.gen(function* () {
            const espalier = yield* Client.Client
            const error = yield* Effect.flip(espalier.ListSessions({ limit: 5_000 }))
            assert.instanceOf(error, InvalidInput)
            assert.deepStrictEqual(error._tag === "InvalidInput" && error.issues.map(({ path }) => path), ["limit"])
          })
        )
      )

      it.effect(
        "defect-blast: what breaks inside comes out as an id, with nothing of the cause, and ends only its own call",
        () =>
          using(
            Effect.gen(function* () {
              const espalier = yield* Client.Client
              const slow = yield* Effect.forkChild(espalier.GetSession({ sessionId: SessionId.make("ses_slow") }))
              yield* Effect.yieldNow
              const error = yield* Effect.flip(espalier.GetSession({ sessionId: SessionId.make("ses_broken") }))
              assert.instanceOf(error, InternalError)
              assert.notInclude(JSON.stringify(error), secret)
              const { errorId } = error
              assert.isTrue(logged.some((line) => line.includes(errorId)))
              assert.strictEqual(slow.pollUnsafe(), undefined)
              yield* Fiber.interrupt(slow)
            })
          )
      )
    })
  }

  it.effect("a payload that does not fit is answered with every place and reason, and the connection goes on", () =>
    Effect.gen(function* () {
      const { next, send, ws } = yield* Effect.flatMap(ServerUrl, (url) => Effect.promise(() => socket(url)))
      send(call(1, "SendMessage", { sessionId: "nonsense", text: 7 }))
      send(call(2, "NoSuchThing"))
      send(call(3, "PoolStatus"))
      const invalid = yield* Effect.promise(() => next(({ requestId }) => requestId === 1))
      const Refusal = Schema.Struct({
        cause: Schema.Tuple([Schema.Struct({ error: Schema.toCodecJson(InvalidInput) })])
      })
      const {
        cause: [{ error }]
      } = yield* Schema.decodeUnknownEffect(Refusal)(invalid.exit)
      assert.strictEqual(error.subject, "SendMessage")
      assert.deepStrictEqual(error.issues.map(({ path }) => path).sort(), ["sessionId", "text"])
      assert.include(error.message, `starts with "ses_"`)
      const unknown = yield* Effect.promise(() => next(({ requestId }) => requestId === 2))
      assert.include(JSON.stringify(unknown), "no such operation")
      const fine = yield* Effect.promise(() => next(({ requestId }) => requestId === 3))
      assert.include(JSON.stringify(fine), `"permits":3`)
      ws.close()
    })
  )

  it.effect("a client that does not read costs the calls it may have under way, and slows nobody else", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const espalier = yield* Client.make({ url })
      const metadata = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`label${at}`, "x".repeat(1_000)]))
      yield* Effect.forEach(Array.from({ length: 20 }), () => espalier.StartSession({ metadata }))
      const before = listed.times
      const calls = Array.from({ length: 2_000 }, (_, id) => call(id, "ListSessions", {}))
      const wire = yield* Effect.promise(() => GatewayServer.deaf(url, calls))
      yield* Effect.sleep("500 millis")
      // What the system buffers for both sides is answered besides: some megabytes.
      assert.isAbove(listed.times - before, 1)
      assert.isBelow(listed.times - before, 300)
      assert.strictEqual((yield* espalier.PoolStatus()).permits, 3)
      wire.destroy()
    }).pipe(Effect.scoped)
  )

  it.effect("malformed frames cost the connection that sends them, after five of them", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const bystander = yield* Effect.promise(() => socket(url))
      bystander.send(call(1, "GetSession", { sessionId: "ses_slow" }))
      const { closed, received, send } = yield* Effect.promise(() => socket(url))
      send("{not json\n")
      send("null\n")
      send({ _tag: "Request", id: 1 })
      send("[".repeat(100_000))
      send(call(2, "PoolStatus"))
      send({ _tag: "Request", id: {}, tag: "PoolStatus" })
      send({ _tag: "constructor", __proto__: null })
      assert.strictEqual(yield* Effect.promise(() => closed), 1008)
      assert.strictEqual(
        received.filter((frame) => "defect" in frame || JSON.stringify(frame).includes("InvalidInput")).length,
        5
      )
      assert.isTrue(received.some(({ requestId }) => requestId === 2))
      bystander.send(call(2, "PoolStatus"))
      yield* Effect.promise(() => bystander.next(({ requestId }) => requestId === 2))
      bystander.ws.close()
    })
  )

  it.effect("body-limits: a message beyond 1 MiB closes its connection with 1009, a body with 413", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const { closed, send } = yield* Effect.promise(() => socket(url))
      send(" ".repeat(1024 * 1024 + 1))
      assert.strictEqual(yield* Effect.promise(() => closed), 1009)
      const post = (body: string) =>
        Effect.promise(() =>
          fetch(`${url}/rpc`, { method: "POST", body, headers: { "content-type": "application/x-ndjson" } })
        )
      assert.strictEqual((yield* post(" ".repeat(1024 * 1024 + 1))).status, 413)
      const chunk = `${(600 * 1024).toString(16)}\r\n${" ".repeat(600 * 1024)}\r\n`
      const chunked = `POST /rpc HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n${chunk.repeat(2)}0\r\n\r\n`
      assert.match(yield* Effect.promise(() => raw(url, chunked)), /^HTTP\/1.1 413/)
      const fine = yield* post(JSON.stringify(call(1, "PoolStatus")))
      assert.include(yield* Effect.promise(() => fine.text()), "permits")
    })
  )

  it.effect("answers only to this machine's names, to no other origin, and reads no body of another type", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const { host } = new URL(url)
      const status = (headers: string, request = "GET /rpc/ws") =>
        Effect.map(
          Effect.promise(() => raw(url, `${request} HTTP/1.1\r\nconnection: close\r\n${headers}\r\n\r\n`)),
          (answer) => Number(answer.split(" ")[1])
        )
      const upgrade =
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=="
      assert.strictEqual(yield* status(`host: evil.example\r\n${upgrade}`), 403)
      assert.strictEqual(yield* status(`host: ${host}\r\norigin: http://evil.example\r\n${upgrade}`), 403)
      assert.strictEqual(yield* status(`host: ${host}\r\norigin: null\r\n${upgrade}`), 403)
      assert.strictEqual(yield* status(`host: localhost:1\r\n${upgrade}`), 101)
      assert.strictEqual(yield* status(`host: ${host}\r\norigin: http://${host}\r\n${upgrade}`), 101)
      const frame = JSON.stringify(call(1, "StartSession", { sessionId: "ses_csrf" }))
      const body = `content-length: ${frame.length}\r\n\r\n${frame}`
      assert.strictEqual(yield* status(`host: ${host}\r\ncontent-type: text/plain\r\n${body}`, "POST /rpc"), 415)
      assert.strictEqual(
        yield* status(`host: evil.example\r\ncontent-type: application/x-ndjson\r\n${body}`, "POST /rpc"),
        403
      )
      assert.strictEqual(yield* status(`host: evil.example`, "GET /"), 403)
      assert.strictEqual(yield* status(`host: ${host}`, "GET /nowhere"), 404)
      assert.notInclude(
        yield* Effect.promise(() =>
          raw(
            url,
            `POST /rpc HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{`
          )
        ),
        "ses_csrf"
      )
    })
  )

  it.effect("says at its root what it is, and at /health that it is well", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const about = yield* Effect.promise(() => fetch(url).then((response) => response.json()))
      assert.strictEqual(about.name, "espalier")
      assert.strictEqual(about.rpc.http, `${url}/rpc`)
      assert.strictEqual(
        yield* Effect.promise(() => fetch(`${url}/health`).then((response) => response.text())),
        "ok\n"
      )
    })
  )

  it.effect("who calls is told by the connection: headers in a message are not heard", () =>
    Effect.gen(function* () {
      const { next, send, ws } = yield* Effect.flatMap(ServerUrl, (url) => Effect.promise(() => socket(url)))
      send({ ...call(1, "PoolStatus"), headers: [["authorization", "Bearer forged"], 7, null] })
      assert.include(JSON.stringify(yield* Effect.promise(() => next(({ requestId }) => requestId === 1))), "permits")
      ws.close()
    })
  )

  it.effect("a port that is in use is told as that", () =>
    Effect.gen(function* () {
      const port = Number(new URL(yield* ServerUrl).port)
      const second = yield* Effect.exit(Effect.asVoid(Effect.scoped(Layer.build(GatewayServer.server(port)))))
      assert.deepStrictEqual(second, Exit.fail(new PortInUse({ host: "127.0.0.1", port })))
    })
  )
})
