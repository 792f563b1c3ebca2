/** The pools as a server is told of them: by Options, by the environment, and wrongly. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Schema } from "effect"
import * as Runtime from "../../src/server/Runtime.ts"
import { resolveSettings } from "../../src/server/Settings.ts"
import { CallId, SessionId } from "../../services/session/SessionId.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"

const settingsFrom = (pools: string) =>
  resolveSettings({ dataDirectory: "/nowhere" }).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ ESPALIER_POOLS: pools }))
  )

describe("the pools of a server", () => {
  it.effect("are tools, cpu, exports and mcp, and those that one adds", () =>
    Effect.gen(function* () {
      const { pools, ...tools } = yield* WorkerPool.use(({ status }) => status)
      assert.deepInclude(tools, { permits: 3, capacity: 50, patience: 30_000 })
      assert.deepStrictEqual(
        pools.map(({ name }) => name),
        ["tools", "browsers", "cpu", "exports", "mcp"]
      )
      assert.deepInclude(pools[1], { permits: 2, min: 2, max: 5, capacity: 9, patience: 5_000 })
      assert.deepInclude(pools[3], { permits: 1, capacity: 50 })
    }).pipe(
      Effect.provide(
        Runtime.layerMemory({ pools: { browsers: { permits: 2, max: 5, queue: 9, patience: "5 seconds" } } })
      )
    )
  )

  it.effect("can be told by one line of YAML or JSON in the environment", () =>
    Effect.gen(function* () {
      const yaml = yield* settingsFrom("{cpu: {permits: 4}, tools: {min: 2, max: 8, patience: 1 minute}}")
      const json = yield* settingsFrom(`{"cpu":{"permits":4},"tools":{"min":2,"max":8,"patience":"1 minute"}}`)
      assert.deepStrictEqual(yaml.pools, json.pools)
      const { pools } = yield* WorkerPool.use(({ status }) => status).pipe(Effect.provide(Runtime.layerMemory(yaml)))
      assert.deepInclude(pools[0], { name: "tools", permits: 3, min: 2, max: 8, patience: 60_000 })
      assert.deepInclude(
        pools.find(({ name }) => name === "cpu"),
        { permits: 4 }
      )
      assert.deepStrictEqual((yield* settingsFrom("")).pools, {})
    })
  )

  it.effect("are refused by name and place when they cannot be", () =>
    Effect.gen(function* () {
      const detail = (pools: string) => Effect.map(Effect.flip(settingsFrom(pools)), ({ message }) => message)
      assert.include(yield* detail("{cpu: {permitts: 4}}"), "ESPALIER_POOLS.cpu.permitts")
      assert.include(yield* detail("{cpu: {permits: many, patience: soon}}"), "ESPALIER_POOLS.cpu.patience")
      assert.include(yield* detail("{cpu: {permits: 4}"), "is not YAML")
      assert.include(yield* detail("three"), "ESPALIER_POOLS")

      const refusal = (options: Runtime.Options) =>
        Layer.build(Runtime.layerMemory(options)).pipe(
          Effect.scoped,
          Effect.flip,
          Effect.map((error) => [error._tag, error.message])
        )
      const [tag, message] = yield* refusal({ pools: { tools: { min: 4, permits: 3 }, Cpu: { queue: -1 } } })
      assert.strictEqual(tag, "InvalidConfig")
      assert.include(message, "pools.tools.permits: min (4), permits (3) and max (4) must be in this order")
      assert.include(message, "pools.Cpu:")
      assert.include((yield* refusal({ pools: { cpu: { perSession: { running: 0 } } } }))[1], "cpu.perSession.running")
    })
  )

  it.effect("run the tools that name them; a tool that names another pool is refused with the names there are", () =>
    Effect.gen(function* () {
      const tool = (name: string, pool: string) =>
        Tool.make({
          name,
          description: name,
          parameters: Schema.Struct({}),
          result: Schema.Null,
          weight: "heavy",
          pool,
          run: () => Effect.never
        })
      yield* Effect.gen(function* () {
        const pool = yield* WorkerPool
        const task = (tool: Tool.Tool) => ({
          sessionId: SessionId.make("ses_one"),
          callId: CallId.make("call_one"),
          tool,
          args: {}
        })
        const id = yield* pool.submit(task(yield* tool("render", "exports")))
        assert.strictEqual((yield* pool.get(id)).pool, "exports")
        const refusal = yield* Effect.flip(pool.submit(task(yield* tool("lost", "nowhere"))))
        assert.strictEqual(refusal.message, `no pool "nowhere"; there are tools, cpu, exports, mcp`)
        const { pools } = yield* pool.status
        assert.deepStrictEqual(
          pools.map(({ running }) => running),
          [0, 0, 1, 0]
        )
      }).pipe(Effect.provide(Runtime.layerMemory()))
    })
  )
})
