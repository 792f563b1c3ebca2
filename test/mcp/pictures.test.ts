/** What a model is shown of pictures that a server's tool answers with. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Stream } from "effect"
import type { Prompt } from "effect/ai"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { picturesOf, toldOfResult } from "../../services/tools/resultForModel.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { fake } from "../support/McpWorld.ts"
import { calls, layer as scripted, says } from "../support/ScriptedModel.ts"

const data = "iVBORw0KGgo".repeat(8_000)

/** What the model is shown after its call. */
const shown = (modelPictures: boolean | undefined) =>
  Effect.gen(function* () {
    const prompts: Array<Prompt.Prompt> = []
    const model = scripted(({ prompt }) => {
      prompts.push(prompt)
      return prompts.length === 1 ? calls(["fake__do", { what: "picture" }]) : says("done")
    })
    yield* Effect.gen(function* () {
      const sessions = yield* SessionManager
      const { id } = yield* sessions.start({})
      yield* sessions.send({ sessionId: id, text: "go" })
      const bus = yield* EventBus
      yield* bus.subscribe({ topic: Topic.ofSession(id), from: 1 }).pipe(
        Stream.filter((delivery) => delivery._tag === "Event"),
        Stream.takeUntil(({ event }) => event._tag === "TurnEnded"),
        Stream.runDrain,
        Effect.timeout("20 seconds")
      )
    }).pipe(
      Effect.provide(
        Runtime.layerMemory({ mcpServers: { fake: fake() }, model, modelPictures }).pipe(
          Layer.provide(Logger.layer([]))
        )
      )
    )
    return prompts[1]?.content ?? []
  })

describe("pictures of servers", () => {
  it.live("are shown to a model that can see, and what else there is told in words", () =>
    Effect.gen(function* () {
      const messages = yield* shown(true)
      const [told, seen] = messages.slice(-2)
      assert.strictEqual(told?.role, "tool")
      const text = JSON.stringify(told)
      assert.include(text, "before it")
      assert.include(text, "after it")
      assert.include(text, "66000 bytes, which are not text")
      assert.notInclude(text, "iVBORw0KGgo")
      assert.strictEqual(seen?.role, "user")
      const files = seen?.role === "user" ? seen.content.filter((part) => part.type === "file") : []
      assert.deepStrictEqual(
        files.map((file) => [file.mediaType, file.data]),
        [["image/png", data]]
      )
    })
  )

  it.live("are told in words to a model that cannot see, or of which that is not known", () =>
    Effect.gen(function* () {
      for (const pictures of [false, undefined]) {
        const messages = yield* shown(pictures)
        const told = messages.at(-1)
        assert.strictEqual(told?.role, "tool")
        const text = JSON.stringify(messages)
        assert.include(text, "after it")
        assert.notInclude(text, "iVBORw0KGgo")
      }
    })
  )

  it("are those of known types, with data that is base64", () => {
    const content = [
      { type: "image", mimeType: "image/png", data: "AAAA" },
      { type: "image", mimeType: "image/svg+xml", data: "AAAA" },
      { type: "image", mimeType: "image/png", data: "no base64!" },
      { type: "resource", uri: "file:///a", mimeType: "image/webp", data: "BBBB" },
      { type: "image", mimeType: "image/png", omitted: "too large" },
      { type: "text", text: "a" }
    ]
    assert.deepStrictEqual(picturesOf({ content }), [
      { _tag: "Image", mediaType: "image/png", data: "AAAA" },
      { _tag: "Image", mediaType: "image/webp", data: "BBBB" }
    ])
    assert.notInclude(JSON.stringify(toldOfResult({ content })), "AAAA")
    for (const other of ["text", null, 7, [], {}, { content: "x" }, { content: [{ type: "text", data: "kept" }] }]) {
      assert.deepStrictEqual(picturesOf(other), [])
      assert.strictEqual(toldOfResult(other), other)
    }
  })

  it("what is structured is told once, where a server says it a second time as text", () => {
    const structured = { city: "Oslo", degrees: [1, { c: 2, b: 3 }] }
    const again = { type: "text", text: '{"degrees": [1, {"b": 3, "c": 2}], "city": "Oslo"}' }
    const cold = { type: "text", text: "It is cold." }
    const other = { type: "text", text: '{"city": "Bergen"}' }
    assert.deepStrictEqual(toldOfResult({ content: [again, cold, other], structured }), {
      content: [cold, other],
      structured
    })
    assert.deepStrictEqual(toldOfResult({ content: [again] }), { content: [again] })
  })
})
