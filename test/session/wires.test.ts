/** Sessions over each wire format that a configured model speaks, and over one after the other. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { ended } from "../contracts/SessionManager.ts"
import { sessionOverWireContract } from "../contracts/SessionOverWire.ts"
import { inProcess, layerDurable } from "../support/SessionWorld.ts"
import { anthropicWire } from "../support/wire/AnthropicWire.ts"
import { chatWire } from "../support/wire/ChatWire.ts"
import { configuredModel } from "../support/wire/configuredModel.ts"
import { responsesWire } from "../support/wire/ResponsesWire.ts"
import { call, serve, text, thought, type Wire } from "../support/wire/Wire.ts"

describe("a session over Anthropic's Messages", () => sessionOverWireContract(anthropicWire))
describe("a session over OpenAI's Responses", () => sessionOverWireContract(responsesWire))
describe("a session over chat completions", () => sessionOverWireContract(chatWire))

describe("a session that changes its model", () => {
  const wires = [anthropicWire, responsesWire, chatWire]
  const pairs = wires.flatMap((from) => wires.flatMap((to) => (from === to ? [] : [[from, to] as const])))
  it.live.each(pairs.map(([from, to]) => [from.provider, to.provider, from, to] as const))(
    "from %s to %s shows the new one the conversation without what only the old one can read",
    ([, , from, to]) =>
      Effect.gen(function* () {
        const play = (wire: Wire, turn: number, id?: Parameters<typeof ended>[0]) =>
          Effect.gen(function* () {
            const server = yield* serve(wire, (_, index) =>
              wire.answer(
                index === 0
                  ? [thought("Hm."), text("Let me see."), call("x", "echo", { text: "A" })]
                  : [thought("Well."), text("Done.")]
              )
            )
            const used = yield* Effect.gen(function* () {
              const manager = yield* SessionManager
              const sessionId = id ?? (yield* manager.start({})).id
              yield* manager.send({ sessionId, text: `turn ${turn}` })
              yield* ended(sessionId, turn)
              return sessionId
            }).pipe(inProcess({ model: configuredModel(wire, server.url) }))
            assert.deepStrictEqual(server.mistakes, [])
            assert.strictEqual(server.heard.length, 2)
            return used
          })
        const id = yield* play(from, 1)
        yield* play(to, 2, id)
        yield* play(from, 3, id)
      }).pipe(Effect.provide(layerDurable), Effect.scoped)
  )
})
