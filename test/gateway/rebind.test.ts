/**
 * mcp-http-rebind: a page somewhere that gives its own name an address of ours, and makes a browser send us requests. The
 * routes are those that the gateway adds, so that a new one is asked the same.
 */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import { GatewayRpcs } from "../../services/gateway/GatewayRpcs.ts"
import * as FakeRuntime from "../support/FakeRuntime.ts"
import * as GatewayServer from "../support/GatewayServer.ts"

const { ServerUrl, raw } = GatewayServer

interface Route {
  readonly method: string
  readonly path: string
}

/** What is added to a router, written down as well. */
const added = Effect.gen(function* () {
  const seen: Array<Route> = []
  const recording = Layer.effect(
    HttpRouter.HttpRouter,
    Effect.map(HttpRouter.make, (router) =>
      HttpRouter.HttpRouter.of({
        ...router,
        prefixed: () => {
          throw new Error("a prefixed route is not looked at here yet")
        },
        addAll: (routes) => {
          for (const { method, path } of routes) seen.push({ method, path })
          return router.addAll(routes)
        },
        add: (method, path, handler, options) => {
          seen.push({ method, path })
          return router.add(method, path, handler, options)
        }
      })
    )
  )
  const gateway = HttpGateway.routes({ port: 0, version: "0.0.0" })
  const built = gateway.pipe(Layer.provide(recording), Layer.provide(FakeRuntime.layer))
  // What its routes may fail with is asked of whoever serves them, and here nobody does.
  yield* Layer.build(built as Layer.Layer<never>)
  return seen
}).pipe(Effect.scoped)

const upgrade =
  "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

layer(GatewayServer.layer, { excludeTestServices: true })("mcp-http-rebind", (it) => {
  it.effect(
    "a foreign Host, a foreign Origin and no Host are refused on every route and upgrade, before anything is done",
    () =>
      Effect.gen(function* () {
        const url = yield* ServerUrl
        const { host, port } = new URL(url)
        const routes = yield* added
        assert.isAtLeast(routes.length, 6)
        assert.deepInclude(routes, { method: "GET", path: "/rpc/ws" })

        const foreign: ReadonlyArray<readonly [host: string, origin?: string]> = [
          ["evil.example"],
          [`evil.example:${port}`],
          [`127.0.0.1.evil.example:${port}`],
          [`localhost.evil.example`],
          [`evil@127.0.0.1:${port}`],
          ["[::2]"],
          ["0.0.0.0"],
          [""],
          [host, "http://evil.example"],
          [host, `http://evil.example:${port}`],
          [host, `http://${host}.evil.example`],
          [host, "null"],
          [host, "file://"],
          [host, `http://localhost:${port}`],
          [host, `http://${host}/`],
          ["evil.example", "http://evil.example"]
        ]
        const tags = [...GatewayRpcs.requests.keys()]
        const asked: Array<string> = []
        const ask = (what: string, lines: string, body = "") =>
          Effect.map(
            Effect.promise(() => raw(url, `${what} HTTP/1.1\r\n${lines}content-length: ${body.length}\r\n\r\n${body}`)),
            (answer) => {
              asked.push(what)
              assert.match(answer, /^HTTP\/1\.1 403 /, `${what} with ${JSON.stringify(lines)}`)
              assert.notMatch(answer, /^access-control-/im)
            }
          )
        yield* Effect.forEach(
          foreign,
          ([name, origin]) => {
            const lines = `host: ${name}\r\n${origin === undefined ? "" : `origin: ${origin}\r\n`}`
            const closing = `${lines}connection: close\r\n`
            return Effect.gen(function* () {
              for (const { method, path } of routes) {
                const at = path.replace(":topic", "session:ses_1")
                const methods = method === "*" ? ["GET", "POST", "PUT", "DELETE"] : [method]
                for (const one of [...methods, "OPTIONS"]) {
                  yield* ask(`${one} ${at}`, `${closing}content-type: application/json\r\n`)
                }
                yield* ask(`GET ${at}`, `${lines}${upgrade}`)
              }
              // Also what is no route: whether there is one is nobody's business.
              yield* ask("GET /nowhere", closing)
            })
          },
          { concurrency: 8, discard: true }
        )
        // Each operation, as a page would send it.
        for (const tag of tags) {
          const frame = JSON.stringify({ _tag: "Request", id: "1", tag, payload: {}, headers: [] })
          yield* ask(
            "POST /rpc",
            `host: ${host}\r\norigin: http://evil.example\r\nconnection: close\r\ncontent-type: application/json\r\n`,
            frame
          )
        }
        assert.isAtLeast(asked.length, foreign.length * (routes.length * 3 + 1) + tags.length)

        assert.match(yield* Effect.promise(() => raw(url, "GET /health HTTP/1.0\r\n\r\n")), /^HTTP\/1\.1 403 /)
        assert.match(yield* Effect.promise(() => raw(url, "GET /health HTTP/1.1\r\n\r\n")), /^HTTP\/1\.1 400 /)

        // The same with our own names is answered.
        for (const name of [host, `localhost:${port}`, `[::1]:${port}`, "LOCALHOST"]) {
          const answer = yield* Effect.promise(() =>
            raw(url, `GET /health HTTP/1.1\r\nhost: ${name}\r\nconnection: close\r\n\r\n`)
          )
          assert.match(answer, /^HTTP\/1\.1 200 /)
        }
      })
  )
})
