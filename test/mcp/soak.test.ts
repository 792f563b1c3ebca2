/** soak-leak, of MCP: what connects and closes again and again leaves nothing behind. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { call, fake, layer, until } from "../support/McpWorld.ts"
import { isRunning, soon, writtenPids } from "../support/processes.ts"
import { counted, counts, growth } from "../support/resources.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { httpServer } from "../support/McpHttpServer.ts"

const long = process.env["ESPALIER_LONG"] !== undefined

const cycle = (declared: Parameters<typeof layer>[0]) =>
  until("fake", ({ state }) => state === "ready").pipe(
    Effect.andThen(call("fake__echo", { text: "a" })),
    Effect.provide(layer(declared), { local: true })
  )

const settled = Effect.andThen(Effect.sleep("200 millis"), counts)

describe("soak-leak", () => {
  it.live(
    "of a server over its standard input and output",
    () =>
      counted(
        Effect.gen(function* () {
          const pids = join(yield* temporaryDirectory, "pids")
          const declared = { fake: fake({ FAKE_PIDS: pids }) }
          yield* cycle(declared)
          const before = yield* settled
          const cycles = long ? 2_000 : 8
          yield* Effect.repeat(cycle(declared), { times: cycles - 1 })
          assert.deepStrictEqual(yield* settled, before)
          assert.strictEqual(writtenPids(pids).length, cycles + 1)
          yield* soon("all of them are gone", () => !writtenPids(pids).some(isRunning))
        })
      ),
    long ? 3_600_000 : 60_000
  )

  it.live(
    "of a server over HTTP",
    () =>
      counted(
        Effect.gen(function* () {
          const { url } = yield* httpServer({})
          const declared = { fake: { type: "http" as const, url, espalier: { trust: true } } }
          const cycles = long ? 10_000 : 200
          let last = yield* settled
          const grown = yield* growth(cycles / 2, (cycles) => Effect.repeat(cycle(declared), { times: cycles - 1 }))
          last = yield* settled
          yield* Effect.repeat(cycle(declared), { times: 9 })
          assert.deepStrictEqual(yield* settled, last)
          assert.isBelow(grown / 1024 / 1024, 4)
        })
      ),
    long ? 3_600_000 : 60_000
  )
})
