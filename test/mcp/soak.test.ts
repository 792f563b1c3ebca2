/** soak-leak, of MCP: what connects and closes again and again leaves nothing behind. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { McpServers } from "../../services/mcp/McpServers.ts"
import { call, fake, layer, server, until } from "../support/McpWorld.ts"
import { isRunning, soon, writtenPids } from "../support/processes.ts"
import { counted, counts, growth } from "../support/resources.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { httpServer } from "../support/McpHttpServer.ts"

const long = process.env["ESPALIER_LONG"] !== undefined

const ready = until("fake", ({ state }) => state === "ready")

/** Closes the connection, and uses the next one. */
const cycle = Effect.gen(function* () {
  const { restart } = yield* McpServers
  const { restarts: before } = yield* server("fake")
  yield* restart("fake")
  yield* until("fake", ({ restarts, state }) => restarts > before && state === "ready")
  yield* call("fake__echo", { text: "a" })
})

const cycles = (count: number) => Effect.repeat(cycle, { times: count - 1 })

const settled = Effect.andThen(Effect.sleep("200 millis"), counts)

describe("soak-leak", () => {
  it.live(
    "of a server over its standard input and output",
    () =>
      counted(
        Effect.gen(function* () {
          const pids = join(yield* temporaryDirectory, "pids")
          const count = long ? 10_000 : 8
          yield* Effect.gen(function* () {
            yield* ready
            yield* cycle
            const before = yield* settled
            yield* cycles(count)
            assert.deepStrictEqual(yield* settled, before)
            assert.strictEqual(writtenPids(pids).filter(isRunning).length, 1)
          }).pipe(Effect.provide(layer({ fake: fake({ FAKE_PIDS: pids }) })))
          assert.strictEqual(writtenPids(pids).length, count + 2)
          yield* soon("all of them are gone", () => !writtenPids(pids).some(isRunning))
        })
      ),
    long ? 14_400_000 : 60_000
  )

  it.live(
    "of a server over HTTP",
    () =>
      counted(
        Effect.gen(function* () {
          const { url } = yield* httpServer({})
          yield* Effect.gen(function* () {
            yield* ready
            const grown = yield* growth(long ? 5_000 : 100, cycles)
            const before = yield* settled
            yield* cycles(8)
            assert.deepStrictEqual(yield* settled, before)
            assert.isBelow(grown / 1024 / 1024, 4)
          }).pipe(Effect.provide(layer({ fake: { type: "http", url, espalier: { trust: true } } })))
        })
      ),
    long ? 14_400_000 : 60_000
  )
})
