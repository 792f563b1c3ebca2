import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Queue } from "effect"
import { TestClock } from "effect/testing"
import type { FromClientEncoded, FromServerEncoded } from "effect/rpc/RpcMessage"
import { RpcServer } from "effect/rpc"
import * as Frames from "../../layers/gateway/Frames.ts"
import { Gate, make as makeGate } from "../../layers/gateway/Gate.ts"
import * as Guard from "../../layers/gateway/Guard.ts"
import { GatewayRpcs } from "../../services/gateway/GatewayRpcs.ts"

const rate = { name: "calls", limit: 1, per: "1 second", burst: 1 } as const

const call = (id: string, tag = "PoolStatus"): FromClientEncoded => ({
  _tag: "Request",
  id,
  tag,
  payload: null,
  headers: []
})

/** A guard between a transport and a server that a test stands for. */
const world = Effect.gen(function* () {
  const gate = yield* makeGate
  const sent: Array<FromServerEncoded> = []
  const reached: Array<string> = []
  let receive: (clientId: number, frame: FromClientEncoded) => Effect.Effect<void> = () => Effect.void
  const { forget, protocol } = yield* Guard.make(
    GatewayRpcs,
    RpcServer.Protocol.of({
      run: (accept) =>
        Effect.andThen(
          Effect.sync(() => void (receive = accept)),
          Effect.never
        ),
      disconnects: yield* Queue.unbounded<number>(),
      send: (_, message) => Effect.sync(() => void sent.push(message)),
      end: () => Effect.void,
      clientIds: Effect.succeed(new Set<number>()),
      initialMessage: Effect.succeed(Option.none()),
      supportsAck: true,
      supportsTransferables: false,
      supportsSpanPropagation: false,
      supportsNotifications: false,
      codecFor: Frames.serialization.codecFor
    }),
    rate
  ).pipe(Effect.provideService(Gate, gate))
  yield* Effect.forkChild(
    protocol.run((_, frame) => Effect.sync(() => void reached.push(frame._tag === "Request" ? `${frame.id}` : "")))
  )
  yield* Effect.yieldNow
  return {
    gate,
    sent,
    reached,
    forget,
    arrive: (clientId: number, frame: FromClientEncoded) => Effect.forkChild(receive(clientId, frame)),
    answer: (clientId: number, requestId: string) =>
      protocol.send(clientId, { _tag: "Exit", requestId, exit: { _tag: "Success", value: undefined } })
  }
})

describe("Guard", () => {
  it.effect("holds a call back that comes too soon, and lets it through when its time has come", () =>
    Effect.gen(function* () {
      const { answer, arrive, gate, reached } = yield* world
      for (const id of ["1", "2"]) yield* arrive(7, call(id))
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(reached, ["1"])
      assert.strictEqual(gate.calls(), 1)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(reached, ["1", "2"])
      assert.strictEqual(gate.calls(), 2)
      for (const id of ["1", "2"]) yield* answer(7, id)
      assert.strictEqual(gate.calls(), 0)
    })
  )

  it.effect("a call whose connection has gone while it was held back reaches nobody, and nobody waits for it", () =>
    Effect.gen(function* () {
      const { arrive, forget, gate, reached } = yield* world
      const held = yield* Effect.forEach(["1", "2", "3"], (id) => arrive(7, call(id)))
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(gate.calls(), 1)
      forget(7)
      assert.strictEqual(gate.calls(), 0)
      yield* TestClock.adjust("1 minute")
      for (const fiber of held) yield* Fiber.join(fiber)
      assert.deepStrictEqual(reached, ["1"])
      assert.strictEqual(gate.calls(), 0)
      assert.strictEqual(gate.callsOf(""), 0)
      // Stopping the server waits for the answers that are owed: there are none.
      yield* gate.drain
    })
  )

  it.effect("nor does one whose connection came back under the same number meanwhile", () =>
    Effect.gen(function* () {
      const { arrive, forget, gate, reached } = yield* world
      for (const id of ["1", "2"]) yield* arrive(7, call(id))
      yield* TestClock.adjust("500 millis")
      forget(7)
      yield* arrive(7, call("3"))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(reached, ["1", "3"])
      assert.strictEqual(gate.calls(), 1)
      forget(7)
      assert.strictEqual(gate.calls(), 0)
    })
  )
})
