import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { errorCodes } from "../../services/gateway/ErrorCodes.ts"
import { NamedPool, PoolStatus } from "../../services/worker/PoolStatus.ts"
import { espalier, server, start } from "../support/CommandLine.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.toCodecJson(NamedPool)))
const decodeStatus = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.toCodecJson(PoolStatus)))

describe("espalier pool", () => {
  it.live("shows every pool, changes their sizes, pauses, drains and resumes them, and says what it did", () =>
    Effect.gen(function* () {
      const running = yield* server(undefined, { ESPALIER_POOLS: "{cpu: {permits: 2}, mine: {min: 1, max: 4}}" })
      const run = (...args: ReadonlyArray<string>) => espalier(running, "pool", ...args)

      const status = yield* run("status")
      assert.match(status.stdout, /^POOL +STATE +RUNNING +SCALES +QUEUED +WAIT p50\/p99 /)
      assert.match(status.stdout, /\ntools +open +0 of 3 +- +0 of 50 /)
      assert.match(status.stdout, /\nmine +open +0 of 3 +1-4 /)

      const text = yield* start(running, "pool", "status", "--watch")
      yield* Effect.promise(() => text.until("stdout", /tools/))
      assert.strictEqual(
        (yield* run("resize", "--permits", "5")).stdout,
        "tools is open; 5 permits, 0 running, 0 queued\n"
      )
      yield* Effect.promise(() => text.until("stdout", /3 -> 5 +operator +asked for/))
      text.process.kill("SIGINT")
      assert.strictEqual((yield* Effect.promise(() => text.ended)).status, 130)

      const bounds = decode((yield* run("resize", "cpu", "--min", "1", "--max", "8", "--json")).stdout)
      assert.deepInclude(bounds, { name: "cpu", permits: 2, min: 1, max: 8 })
      assert.match((yield* run("pause", "cpu")).stdout, /^cpu is paused: it starts nothing/)
      assert.match((yield* run("drain", "cpu")).stdout, /^cpu is draining: it takes nothing new/)
      assert.strictEqual(decode((yield* run("resume", "cpu", "--json")).stdout).mode, "open")
      const events = yield* espalier(running, "events", "system:pool")
      for (const name of ["PoolResized", "PoolPaused", "PoolDraining", "PoolDrained", "PoolResumed"]) {
        assert.include(events.stdout, name)
      }
      const { pools } = decodeStatus((yield* run("status", "--json")).stdout)
      assert.deepInclude(pools[0]?.scaling[0], { from: 3, to: 5, by: "operator" })

      const wrong = yield* run("resize", "cpu", "--permits", "9")
      assert.strictEqual(wrong.status, errorCodes.InvalidInput.exit)
      assert.include(wrong.stderr, "the pool scales itself from 1 to 8")
      const unknown = yield* run("pause", "nowhere")
      assert.strictEqual(unknown.status, errorCodes.PoolNotFound.exit)
      assert.include(unknown.stderr, `no pool "nowhere"; there are tools, cpu, mine, exports, mcp`)
      assert.strictEqual((yield* run("resize", "cpu")).status, errorCodes.UsageError.exit)
    }).pipe(Effect.scoped)
  )

  it.live("a server with a pool that cannot be does not start, and says what is wrong", () =>
    Effect.gen(function* () {
      const ESPALIER_DATA = yield* temporaryDirectory
      const env = { ESPALIER_POOLS: "{cpu: {permits: 0}}", ESPALIER_DATA }
      const serving = yield* start({ url: "", env }, "serve", "--port", "0")
      const { status, stderr } = yield* Effect.promise(() => serving.ended)
      assert.strictEqual(status, errorCodes.InvalidConfig.exit)
      assert.include(stderr, "pools.cpu.permits: a whole number from 1 to 256")
    }).pipe(Effect.scoped)
  )
})
