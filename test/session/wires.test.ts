/** Sessions over each wire format that a configured model speaks, and over one after the other. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { ModelLimits } from "../../services/model/ModelLimits.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { ended } from "../contracts/SessionManager.ts"
import { sessionOverWireContract } from "../contracts/SessionOverWire.ts"
import { inProcess, layerDurable } from "../support/SessionWorld.ts"
import { anthropicWire } from "../support/wire/AnthropicWire.ts"
import { chatWire } from "../support/wire/ChatWire.ts"
import { configuredModel } from "../support/wire/configuredModel.ts"
import { responsesWire } from "../support/wire/ResponsesWire.ts"
import { call, raw, serve, type Step, text, thought, wait, type Wire } from "../support/wire/Wire.ts"

describe("a session over Anthropic's Messages", () => sessionOverWireContract(anthropicWire))
describe("a session over OpenAI's Responses", () => sessionOverWireContract(responsesWire))
describe("a session over chat completions", () => sessionOverWireContract(chatWire))

describe("a session whose model thinks for long", () => {
  const limits = { idle: Duration.seconds(1), total: Duration.minutes(1) }
  const play = (sign: Step) =>
    Effect.gen(function* () {
      const said = [thought("Hm."), text("Yes.")]
      const begun = responsesWire.unfinished(said.slice(0, 1))
      const server = yield* serve(responsesWire, () => [
        ...begun,
        ...Array.from({ length: 7 }, () => [wait(300), sign]).flat(),
        ...responsesWire.answer(said).slice(begun.length)
      ])
      return yield* Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        yield* manager.send({ sessionId: id, text: "go" })
        return yield* ended(id, 1)
      }).pipe(
        inProcess({ model: configuredModel(responsesWire, server.url, "1 second") }),
        Effect.provideService(ModelLimits, limits)
      )
    }).pipe(Effect.provide(layerDurable), Effect.scoped)

  it.live(
    "waits while its provider shows that it is there, and no longer than its limit for bytes that say nothing",
    () =>
      Effect.gen(function* () {
        assert.deepInclude(yield* play(responsesWire.alive), { outcome: "completed" })
        const end = yield* play(raw("x"))
        assert.strictEqual(end.failure?.code, "model_stalled")
      })
  )
})

/** Runs a session of two turns over a server that answers the first request with these events. */
const twoTurns = Effect.fnUntraced(function* (wire: Wire, first: ReadonlyArray<Step>) {
  const server = yield* serve(wire, (_, index) => (index === 0 ? first : wire.answer([text("ok")])))
  const end = yield* Effect.gen(function* () {
    const manager = yield* SessionManager
    const { id } = yield* manager.start({})
    yield* manager.send({ sessionId: id, text: "go" })
    const end = yield* ended(id, 1)
    yield* manager.send({ sessionId: id, text: "and now?" })
    yield* ended(id, 2)
    return end
  }).pipe(inProcess({ model: configuredModel(wire, server.url) }))
  assert.deepStrictEqual(server.mistakes, [])
  return { end, server }
})

const event = (type: string, more: object): Step =>
  raw(`event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: 1, ...more })}\n\n`)

describe("what only one provider says", () => {
  it.live("a refusal of OpenAI is what was said, and why the turn failed", () =>
    Effect.gen(function* () {
      const item = { type: "message", id: "msg_0", role: "assistant" }
      const at = { item_id: "msg_0", output_index: 0, content_index: 0 }
      const { end, server } = yield* twoTurns(responsesWire, [
        ...responsesWire.unfinished([]),
        event("response.output_item.added", { output_index: 0, item: { ...item, status: "in_progress", content: [] } }),
        event("response.refusal.delta", { ...at, delta: "I cannot " }),
        event("response.refusal.delta", { ...at, delta: "do that." }),
        event("response.refusal.done", { ...at, refusal: "I cannot do that." }),
        event("response.output_item.done", { output_index: 0, item: { ...item, status: "completed", content: [] } }),
        ...responsesWire.answer([]).slice(responsesWire.unfinished([]).length)
      ])
      assert.strictEqual(end.failure?.code, "answer_filtered")
      assert.include(JSON.stringify(server.heard[1]?.turns), "I cannot do that.")
    }).pipe(Effect.provide(layerDurable), Effect.scoped)
  )

  it.live("a thought that Anthropic hides goes back to it as it came", () =>
    Effect.gen(function* () {
      const begun = anthropicWire.unfinished([])
      const rest = anthropicWire.answer([call("x", "echo", { text: "A" })]).slice(begun.length)
      const { end, server } = yield* twoTurns(anthropicWire, [
        ...begun,
        event("content_block_start", { index: 7, content_block: { type: "redacted_thinking", data: "hidden-1" } }),
        event("content_block_stop", { index: 7 }),
        ...rest
      ])
      assert.strictEqual(end.outcome, "completed")
      for (const { raw } of server.heard.slice(1)) {
        assert.include(JSON.stringify(raw), '[{"type":"redacted_thinking","data":"hidden-1"},{"type":"tool_use"')
      }
    }).pipe(Effect.provide(layerDurable), Effect.scoped)
  )
})

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
