import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Schema, Stream } from "effect"
import { RpcTest } from "effect/rpc"
import * as GatewayHandlers from "../../layers/gateway/GatewayHandlers.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { GatewayRpcs } from "../../services/gateway/GatewayRpcs.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { Tools } from "../../services/tools/Tools.ts"
import * as Runtime from "../../src/server/Runtime.ts"

let isBroken = false
let runs = 0

const tool = (name: string, weight: "fast" | "heavy", more: Pick<Tool.Options<string, string, never>, "rate"> = {}) =>
  Tool.make({
    name,
    description: "for a test",
    parameters: Schema.String,
    result: Schema.String,
    weight,
    ...more,
    run: (text) =>
      Effect.suspend(() => {
        runs++
        if (text === "unfit") return Effect.fail(new Tool.ToolFailure({ code: "unfit", message: "give another" }))
        return isBroken ? Effect.die("broken") : Effect.succeed(text)
      })
  })

const rate = { limit: 60, per: "1 minute", burst: 3 } as const
const options: Runtime.Options = {
  tools: [
    tool("fast", "fast"),
    tool("heavy", "heavy"),
    tool("fast_limited", "fast", { rate }),
    tool("heavy_limited", "heavy", { rate })
  ]
}

const make = RpcTest.makeClient(GatewayRpcs, { disableFatalDefects: true })

const withClient = <A, E>(
  use: (client: Effect.Success<typeof make>) => Effect.Effect<A, E, EventBus | Tools>,
  more: Runtime.Options = {}
) =>
  Effect.suspend(() => {
    isBroken = false
    return Effect.flatMap(make, use).pipe(
      Effect.scoped,
      Effect.provide(GatewayHandlers.layer.pipe(Layer.provideMerge(Runtime.layerMemory({ ...options, ...more }))))
    )
  })

/** Runs a heavy tool and waits for its failure. */
const failureOf = (client: Effect.Success<typeof make>, sessionId: SessionId, tool: string) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const run = yield* client.RunTool({ sessionId, tool, args: "a" })
    assert("workerId" in run)
    return yield* bus.subscribe({ topic: Topic.ofWorker(run.workerId), from: 1 }).pipe(
      Stream.flatMap((delivery) => {
        if (delivery._tag !== "Event") return Stream.empty
        const { event } = delivery
        if (event._tag === "WorkerCompleted") return Stream.succeed(undefined)
        return event._tag === "WorkerFailed" ? Stream.succeed(event.failure) : Stream.empty
      }),
      Stream.runHead,
      Effect.map(Option.getOrUndefined)
    )
  })

describe("tools behind their limits", () => {
  it.live("a rate-limited call is refused as such to a caller, who is told when to try again", () =>
    withClient((client) =>
      Effect.gen(function* () {
        const [one, two] = [yield* client.StartSession({}), yield* client.StartSession({})]
        const call = (sessionId: SessionId) => client.RunTool({ sessionId, tool: "fast_limited", args: "a" })
        for (let count = 0; count < 3; count++) yield* call(one.id)
        const refusal = yield* Effect.flip(call(one.id))
        assert(refusal._tag === "RateLimited")
        assert.strictEqual(refusal.limit, "tool:fast_limited")
        assert.isTrue((refusal.retryAfter ?? 0) > 0 && (refusal.retryAfter ?? 0) <= 1_000)
        // Another session has a bucket of its own.
        yield* call(two.id)
      })
    )
  )

  it.live("a rate-limited worker fails with the time after which to try again", () =>
    withClient((client) =>
      Effect.gen(function* () {
        const { id } = yield* client.StartSession({})
        for (let count = 0; count < 3; count++) assert.isUndefined(yield* failureOf(client, id, "heavy_limited"))
        const failure = yield* failureOf(client, id, "heavy_limited")
        assert.strictEqual(failure?.code, "rate_limited")
        assert.include(failure?.message, "try again in 1 s")
        assert.isAbove(failure?.retryAfter ?? 0, 0)
      })
    )
  )

  it.live("a session's calls of all tools together are limited as the operator says", () =>
    withClient(
      (client) =>
        Effect.gen(function* () {
          const { id } = yield* client.StartSession({})
          const call = (tool: string) => client.RunTool({ sessionId: id, tool, args: "a" })
          yield* call("fast")
          yield* call("fast_limited")
          const refusal = yield* Effect.flip(call("fast"))
          assert.strictEqual(refusal._tag, "RateLimited")
        }),
      { toolRate: { limit: 2, per: "1 hour" } }
    )
  )

  it.live("a tool that breaks again and again is not run for a while, in a turn's place or on the pool", () =>
    withClient(
      (client) =>
        Effect.gen(function* () {
          const { id } = yield* client.StartSession({})
          isBroken = true
          for (const tool of ["fast", "heavy"]) {
            runs = 0
            for (let count = 0; count < 5; count++) {
              if (tool === "heavy") assert.strictEqual((yield* failureOf(client, id, tool))?.code, "internal_error")
              else yield* Effect.flip(client.RunTool({ sessionId: id, tool, args: "a" }))
            }
            assert.strictEqual(runs, 5)
          }
          assert.deepStrictEqual(
            (yield* client.ListBreakers()).map(({ failures, name, state }) => [name, state, failures]),
            [
              ["tool:fast", "open", 5],
              ["tool:heavy", "open", 5]
            ]
          )
          const refusal = yield* Effect.flip(client.RunTool({ sessionId: id, tool: "fast", args: "a" }))
          assert(refusal._tag === "BreakerOpen")
          assert.isTrue(refusal.retryAfter > 0)
          assert.strictEqual((yield* failureOf(client, id, "heavy"))?.code, "breaker_open")
          assert.strictEqual(runs, 5)
        }),
      { breakers: { openFor: "1 hour", openAtMost: "1 hour" } }
    )
  )

  it.live("failures that say that what was asked cannot be done leave a tool's breaker closed", () =>
    withClient((client) =>
      Effect.gen(function* () {
        const { id } = yield* client.StartSession({})
        for (let count = 0; count < 10; count++) {
          const failure = yield* Effect.flip(client.RunTool({ sessionId: id, tool: "fast", args: "unfit" }))
          assert.strictEqual(failure._tag, "ToolFailure")
        }
        assert.deepStrictEqual(yield* client.RunTool({ sessionId: id, tool: "fast", args: "a" }), { result: "a" })
      })
    )
  )

  it.effect("the list of tools is made once: who made something of it need not make it anew", () =>
    withClient(() =>
      Effect.gen(function* () {
        const tools = yield* Tools
        assert.strictEqual(yield* tools.list, yield* tools.list)
        assert.strictEqual(
          yield* tools.get("fast"),
          (yield* tools.list).find(({ name }) => name === "fast")
        )
      })
    )
  )
})
