import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { RpcTest } from "effect/rpc"
import * as GatewayHandlers from "../../layers/gateway/GatewayHandlers.ts"
import * as Topic from "../../services/events/Topic.ts"
import { GatewayRpcs } from "../../services/gateway/GatewayRpcs.ts"
import { InternalError } from "../../services/gateway/InternalError.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import * as FakeRuntime from "../support/FakeRuntime.ts"

const make = RpcTest.makeClient(GatewayRpcs, { disableFatalDefects: true })
const run = <A, E>(use: (client: Effect.Success<typeof make>) => Effect.Effect<A, E>) =>
  Effect.flatMap(make, use).pipe(
    Effect.scoped,
    Effect.provide(GatewayHandlers.layer),
    Effect.provide(FakeRuntime.layer)
  )

describe("the gateway's operations", () => {
  it.effect("what breaks inside is an InternalError for those who use them in the same process, too", () =>
    run((client) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(client.GetSession({ sessionId: SessionId.make("ses_broken") }))
        assert.instanceOf(error, InternalError)
        assert.notInclude(JSON.stringify(error), FakeRuntime.secret)
      })
    )
  )

  it.effect("a subscription to a topic that nobody has begun is told so; system topics are always there", () =>
    run((client) =>
      Effect.gen(function* () {
        const subscribe = (topic: string, from: number) =>
          Effect.flip(Stream.runDrain(client.Subscribe({ topic: Topic.Topic.make(topic), from })))
        assert.strictEqual((yield* subscribe("session:ses_nobody", 1))._tag, "SessionNotFound")
        assert.strictEqual((yield* subscribe("worker:wrk_nobody", 1))._tag, "WorkerNotFound")
        assert.strictEqual((yield* subscribe("system:health", 99))._tag, "CursorAhead")
      })
    )
  )
})
