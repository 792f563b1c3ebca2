/** Servers over streamable HTTP: what goes wrong on the way. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { McpServerDeclaration } from "../../services/mcp/McpConfig.ts"
import { call, layer, server, textOf, until } from "../support/McpWorld.ts"
import { type Behaviour, httpServer } from "../support/McpHttpServer.ts"

const peer = (url: string, headers: Readonly<Record<string, string>> = {}): McpServerDeclaration => ({
  type: "http",
  url,
  headers: { ...headers },
  espalier: { trust: true }
})

const ready = until("peer", ({ state }) => state === "ready")

const within = <A, E, R>(
  behaviour: Behaviour,
  test: (peer: Effect.Success<ReturnType<typeof httpServer>>) => Effect.Effect<A, E, R>
) =>
  Effect.flatMap(httpServer(behaviour), (http) =>
    Effect.provide(test(http), layer({ peer: peer(http.url, { authorization: "Bearer t0ken" }) }, { intensity: 3 }))
  ).pipe(Effect.scoped)

describe("over HTTP", () => {
  it.live("calls with the headers that were declared, and ends its session when it closes", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* httpServer({ forgetsAfter: 1_000 })
      yield* Effect.gen(function* () {
        yield* ready
        assert.strictEqual(textOf(yield* call("peer__echo", { text: "a" })), "a")
      }).pipe(Effect.provide(layer({ peer: peer(url, { authorization: "Bearer t0ken" }) })))
      assert.isTrue(seen.headers.every(({ authorization }) => authorization === "Bearer t0ken"))
      assert.strictEqual(seen.methods.at(-1), "DELETE")
    })
  )

  for (const behaviour of ["huge", "huge_stream"] as const) {
    it.live(`mcp-huge: ${behaviour === "huge" ? "an answer" : "an event"} beyond 4 MiB is not read to its end`, () =>
      within({ call: behaviour }, () =>
        Effect.gen(function* () {
          yield* ready
          const failed = yield* Effect.flip(call("peer__echo"))
          assert.strictEqual(failed.code, "mcp_server_unavailable")
          assert.match(failed.message, /larger than 4 MiB/)
        })
      )
    )
  }

  it.live("a status of failure is the server's word for that call alone", () =>
    within({ call: "fail" }, () =>
      Effect.gen(function* () {
        yield* ready
        const failed = yield* Effect.flip(call("peer__echo"))
        assert.strictEqual(failed.code, "mcp_call_refused")
        assert.match(failed.message, /no luck today/)
        assert.strictEqual((yield* server("peer")).restarts, 0)
      })
    )
  )

  it.live("a call that is interrupted is cancelled on the server, and its request given up", () =>
    within({ call: "never" }, ({ seen }) =>
      Effect.gen(function* () {
        yield* ready
        const calling = yield* Effect.forkChild(call("peer__echo"))
        yield* until("peer", ({ calls }) => calls === 1)
        yield* Effect.sleep("100 millis")
        yield* Fiber.interrupt(calling)
        yield* Effect.sleep("100 millis")
        assert.include(seen.methods, "POST notifications/cancelled")
      })
    )
  )

  it.live("a server that forgets the session is shaken hands with again", () =>
    within({ forgetsAfter: 3 }, () =>
      Effect.gen(function* () {
        yield* ready
        yield* Effect.ignore(call("peer__echo", { text: "a" }))
        yield* Effect.ignore(call("peer__echo", { text: "b" }))
        yield* until("peer", ({ restarts, state }) => restarts >= 1 && state === "ready")
        assert.strictEqual(textOf(yield* call("peer__echo", { text: "c" })), "c")
      })
    )
  )

  it.live("a server that wants to know who we are says so in its state", () =>
    within({ status: 401 }, () =>
      Effect.gen(function* () {
        const { lastError } = yield* until("peer", ({ state }) => state === "broken")
        assert.match(lastError ?? "", /status 401; see the headers/)
      })
    )
  )

  for (const status of [301, 302, 303, 307, 308]) {
    it.live(`mcp-http-rebind: a redirect (${status}) to another origin is not followed, and says so`, () =>
      Effect.gen(function* () {
        const other = yield* httpServer({ forgetsAfter: 1_000 })
        yield* within({ redirect: { status, to: other.url } }, () =>
          Effect.gen(function* () {
            const { lastError } = yield* until("peer", ({ state }) => state === "broken")
            assert.include(lastError, `it redirects to ${new URL(other.url).origin}, which is not followed`)
          })
        )
        assert.deepStrictEqual(other.seen.methods, [])
      }).pipe(Effect.scoped)
    )
  }

  it.live("mcp-http-rebind: a redirect that begins in the middle takes neither headers nor session elsewhere", () =>
    Effect.gen(function* () {
      const other = yield* httpServer({ forgetsAfter: 1_000 })
      const behaviour: Behaviour = { forgetsAfter: 1_000 }
      yield* within(behaviour, () =>
        Effect.gen(function* () {
          yield* ready
          behaviour.redirect = { status: 307, to: other.url }
          assert.strictEqual((yield* Effect.flip(call("peer__echo", { text: "a" }))).code, "mcp_server_unavailable")
        })
      )
      assert.deepStrictEqual(other.seen.methods, [])
    }).pipe(Effect.scoped)
  )

  it.live("a redirect within the server is followed, with method, body and headers as they were", () =>
    within({ redirect: { status: 307, to: "/mcp/" } }, ({ seen }) =>
      Effect.gen(function* () {
        yield* ready
        assert.strictEqual(textOf(yield* call("peer__echo", { text: "a" })), "a")
        assert.isTrue(seen.headers.every(({ authorization }) => authorization === "Bearer t0ken"))
      })
    )
  )

  it.live("a redirect that turns in circles is given up", () =>
    within({ redirect: { status: 308, to: "/round?and=round#" } }, () =>
      Effect.gen(function* () {
        const { lastError } = yield* until("peer", ({ state }) => state === "broken")
        assert.include(lastError, "it redirects with status 308, which is not followed")
      })
    )
  )

  it.live(
    "mcp-http-rebind: each server's session and headers are told to that server alone, and a new life has a new one",
    () =>
      Effect.gen(function* () {
        const one = yield* httpServer({ forgetsAfter: 3, session: "one" })
        const two = yield* httpServer({ forgetsAfter: 1_000, session: "two" })
        yield* Effect.gen(function* () {
          yield* Effect.all([ready, until("other", ({ state }) => state === "ready")])
          for (const text of ["a", "b", "c"]) {
            yield* Effect.ignore(call("peer__echo", { text }))
            yield* call("other__echo", { text })
          }
          yield* until("peer", ({ restarts, state }) => restarts >= 1 && state === "ready")
        }).pipe(
          Effect.provide(
            layer({ peer: peer(one.url, { "x-key": "of one" }), other: peer(two.url, { "x-key": "of two" }) })
          )
        )
        for (const [name, { seen }] of Object.entries({ one, two })) {
          assert.isTrue(seen.headers.every((headers) => headers["x-key"] === `of ${name}`))
          for (const [at, headers] of seen.headers.entries()) {
            const session = headers["mcp-session-id"]
            if (seen.methods[at] === "POST initialize") assert.isUndefined(session)
            else assert.match(String(session), new RegExp(`^${name}-\\d+$`))
          }
        }
      }).pipe(Effect.scoped)
  )

  it.live("nobody there: broken after its intensity, and said so", () =>
    Effect.gen(function* () {
      const { url } = yield* Effect.scoped(httpServer({}))
      yield* Effect.gen(function* () {
        const { lastError } = yield* until("peer", ({ state }) => state === "broken")
        assert.match(lastError ?? "", /cannot be reached .*ECONNREFUSED/)
      }).pipe(Effect.provide(layer({ peer: peer(url) }, { intensity: 2 })))
    })
  )
})
