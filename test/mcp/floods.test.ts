/** Servers that flood us, stop reading, or pry: what it may cost. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { beforeAll } from "vitest"
import { McpServers } from "../../services/mcp/McpServers.ts"
import { call, fake, layer, make, server, textOf, until } from "../support/McpWorld.ts"
import { writtenPids } from "../support/processes.ts"
import { held } from "../support/resources.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const ready = (name = "fake") => until(name, ({ state }) => state === "ready")

/** What a piece of work costs in memory, and how long it held up everybody else. */
const cost = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const stall = monitorEventLoopDelay({ resolution: 10 })
    const before = process.memoryUsage().rss
    let peak = before
    const watching = yield* Effect.sync(() => {
      peak = Math.max(peak, process.memoryUsage().rss)
    }).pipe(Effect.andThen(Effect.sleep("10 millis")), Effect.forever, Effect.forkChild)
    stall.enable()
    const result = yield* effect
    stall.disable()
    yield* Fiber.interrupt(watching)
    return { result, grown: (peak - before) / 1024 / 1024, stalled: stall.max / 1e6 }
  })

describe("mcp-huge", () => {
  it.live("an answer of 40 MB fails its call alone, and is never held", () =>
    Effect.gen(function* () {
      yield* ready()
      yield* Effect.ignore(make("huge"))
      const { grown, result, stalled } = yield* cost(Effect.flip(make("huge")))
      assert.strictEqual(result.code, "mcp_call_refused", result.message)
      assert.match(result.message, /larger than 4 MiB/)
      assert.strictEqual((yield* server("fake")).restarts, 0)
      assert.isBelow(grown, 48)
      assert.isBelow(stalled, 1_000)
    }).pipe(Effect.provide(layer({ fake: fake() })))
  )

  it.live("a line of 40 MB that is nobody's answer ends the connection, and the next call works", () =>
    Effect.gen(function* () {
      yield* ready()
      assert.match((yield* Effect.flip(make("huge_anonymous"))).message, /larger than 4 MiB/)
      assert.strictEqual(textOf(yield* call("fake__echo", { text: "a" })), "a")
    }).pipe(Effect.provide(layer({ fake: fake() })))
  )

  it.live("100,000 tools and a description of 10 MB are refused, and it is said why", () =>
    Effect.gen(function* () {
      for (const name of ["many", "long"]) {
        const { lastError } = yield* until(name, ({ lastError }) => lastError !== undefined)
        assert.match(lastError ?? "", /larger than 4 MiB/)
      }
    }).pipe(
      Effect.provide(
        layer(
          { many: fake({ FAKE_START: "many_tools" }), long: fake({ FAKE_START: "long_description" }) },
          { intensity: 1 }
        )
      )
    )
  )

  it.live("of 5,000 tools the first 1,000 are taken, and of a description of 1 MB its first 8 KiB", () =>
    Effect.gen(function* () {
      const { result, stalled } = yield* cost(
        Effect.all([until("many", ({ tools }) => tools > 0), until("wide", ({ tools }) => tools > 0)])
      )
      assert.deepStrictEqual(
        result.map(({ refused, tools }) => [tools, refused]),
        [
          [1_000, 4_000],
          [2, 0]
        ]
      )
      const echo = (yield* McpServers).source.find("wide__echo")
      assert.isBelow(echo?.description.length ?? Infinity, 8_300)
      assert.isBelow(stalled, 1_000)
    }).pipe(
      Effect.provide(layer({ many: fake({ FAKE_START: "thousands" }), wide: fake({ FAKE_START: "wide_description" }) }))
    )
  )

  it.live("of what it writes to its standard error without end, the last 64 KiB are kept", () =>
    Effect.gen(function* () {
      yield* ready()
      const before = yield* held
      yield* make("stderr")
      const { stalled } = yield* cost(Effect.sleep("3 seconds"))
      // After a collection: what only waits for one is as much as the platform lets it be.
      const kept = ((yield* held) - before) / 1024 / 1024
      assert.strictEqual(textOf(yield* call("fake__echo", { text: "still here" })), "still here")
      assert.isBelow(kept, 4)
      assert.isBelow(stalled, 1_000)
    }).pipe(Effect.provide(layer({ fake: fake() })))
  )
})

describe("mcp-stdin-stall", () => {
  it.live("a server that stops reading is sent 256 messages or 1 MiB, and from then on refusals", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const pids = join(directory, "pids")
      yield* Effect.gen(function* () {
        yield* ready()
        const [pid = 0] = writtenPids(pids)
        process.kill(pid, "SIGSTOP")
        const text = "x".repeat(50_000)
        const calls = yield* Effect.forEach(
          Array.from({ length: 40 }, (_, i) => i),
          () => Effect.forkChild(Effect.flip(call("fake__echo", { text })))
        )
        const refused = yield* Fiber.join(calls.at(-1) as (typeof calls)[number])
        assert.strictEqual(refused.code, "mcp_server_busy")
        assert.match(refused.message, /stopped reading: \d+ messages of \d+ bytes wait/)
        const waiting = (yield* server("fake")).calls
        assert.isAtMost(waiting * 50_000, 1024 * 1024 + 70_000)
        process.kill(pid, "SIGCONT")
        yield* Effect.forEach(calls, Fiber.interrupt, { discard: true })
        assert.strictEqual(textOf(yield* call("fake__echo", { text: "reads again" })), "reads again")
      }).pipe(Effect.provide(layer({ fake: fake({ FAKE_PIDS: pids }) })))
    })
  )

  it.live("arguments beyond 1 MiB are refused and not sent", () =>
    Effect.gen(function* () {
      yield* ready()
      const refused = yield* Effect.flip(call("fake__do", { what: "x".repeat(1024 * 1024) }))
      assert.strictEqual(refused.code, "mcp_server_busy")
      assert.strictEqual(textOf(yield* call("fake__echo", { text: "a" })), "a")
    }).pipe(Effect.provide(layer({ fake: fake() })))
  )
})

describe("the environment of a server", () => {
  beforeAll(() => {
    process.env["FAKE_SECRET_KEY"] = "hidden"
    process.env["FAKE_SHARED"] = "shared"
  })

  it.live("has what any program needs, what was declared, and nothing of the runtime's secrets", () =>
    Effect.gen(function* () {
      yield* ready()
      const environment = JSON.parse(textOf(yield* make("env"))) as Readonly<Record<string, string>>
      assert.isUndefined(environment["FAKE_SECRET_KEY"])
      assert.deepInclude(environment, { FAKE_SHARED: "shared", DECLARED: "yes" })
      const allowed =
        /^(PATH|HOME|USER|LOGNAME|TMPDIR|LANG|LC_\w+|TZ|PWD|OLDPWD|SHLVL|_|FAKE_SHARED|DECLARED|ESPALIER_CHILD)$/
      assert.deepStrictEqual(
        Object.keys(environment).filter((name) => !allowed.test(name)),
        []
      )
    }).pipe(Effect.provide(layer({ fake: fake({ DECLARED: "yes" }, { inherit: ["FAKE_SHARED"] }) })))
  )
})
