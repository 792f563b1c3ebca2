import { NodeFileSystem, NodePath } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as AgentsFile from "../../layers/session/AgentsFile.ts"
import { promptOf } from "../../layers/session/Prompt.ts"
import { Instructions } from "../../services/session/Instructions.ts"
import { drop, estimate, planWithin } from "../../services/session/Compaction.ts"
import type { Entry } from "../../services/session/Conversation.ts"
import { CallId, type SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { ended } from "../contracts/SessionManager.ts"
import { calls, layer as scripted, says } from "../support/ScriptedModel.ts"
import { eventsOf, inProcess, is, layerDurable, SessionWorld, until } from "../support/SessionWorld.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const durable = Effect.provide(layerDurable)

const user = (text: string, sequence: number): Entry => ({ _tag: "User", text, sequence })
const round = (size: number, sequence: number): Entry => ({
  _tag: "Assistant",
  text: "",
  calls: [
    {
      callId: CallId.make(`call_${sequence}`),
      tool: "read",
      args: {},
      outcome: { _tag: "ToolCompleted", result: "x".repeat(size) }
    }
  ],
  sequence
})

describe("a plan to make a conversation fit", () => {
  it("leaves alone what fits", () => {
    assert.strictEqual(planWithin([user("hello", 3), round(400, 5)], 200)._tag, "Fits")
  })

  it("leaves out the oldest results first, no more than it takes, and never those of the newest rounds", () => {
    const entries = [user("go", 3), ...Array.from({ length: 10 }, (_, n) => round(4_000, 10 + n))]
    const plan = planWithin(entries, 8_000)
    if (plan._tag !== "DropResults") return assert.fail(plan._tag)
    assert.isAtMost(estimate(drop(entries, plan.upTo)), 8_000)
    assert.isBelow(plan.upTo, 18)
    assert.isAbove(estimate(drop(entries, plan.upTo - 1)), 8_000 * 0.7)
    assert.strictEqual(planWithin(drop(entries, plan.upTo), 8_000)._tag, "Fits")
  })

  it("sums up the turns before the current one when that is not enough", () => {
    const entries = [user("old".repeat(4_000), 3), round(100, 5), user("now", 9), round(100, 11)]
    assert.deepStrictEqual(planWithin(entries, 1_000), { _tag: "Summarise", upTo: 5 })
  })
})

/** Plays a session to its end, and gives what the model was shown each time. */
const play = Effect.fnUntraced(function* (id: SessionId, texts: ReadonlyArray<string>, before = 0) {
  const manager = yield* SessionManager
  for (const [n, text] of texts.entries()) {
    yield* manager.send({ sessionId: id, text })
    yield* ended(id, before + n + 1)
  }
})

const compactions = (id: SessionId) =>
  Effect.map(eventsOf(id), (events) =>
    events.flatMap(({ event }) => (event._tag === "ContextCompacted" ? [event] : []))
  )

describe("what a model is shown in a long session", () => {
  it.effect("loses the oldest results first, says so in an event, and is the same after a restart", () => {
    const shown: Array<string> = []
    const big = "r".repeat(2_000)
    const model = scripted(({ prompt }, n) => {
      shown.push(JSON.stringify(prompt.content))
      return n < 8 ? calls(["echo", { text: `${n}${big}` }]) : Stream.never
    })
    return Effect.gen(function* () {
      const id = yield* Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        yield* manager.send({ sessionId: id, text: "go" })
        while (shown.length < 9) yield* Effect.yieldNow
        return id
      }).pipe(inProcess({ model, tokens: 6_000 }))
      const told = yield* compactions(id)
      assert.isAbove(told.length, 0)
      assert.isTrue(told.every(({ dropped, summary }) => dropped > 0 && summary === undefined))
      const last = shown.at(-1) ?? ""
      assert.include(last, "left out to save room")
      assert.isBelow(last.length / 4, 7_500)
      // The newest results are there.
      assert.include(last, `"7${big}`)
      let again = ""
      yield* Effect.gen(function* () {
        yield* ended(id, 1)
      }).pipe(
        inProcess({
          tokens: 6_000,
          model: scripted(({ prompt }) => {
            again = JSON.stringify(prompt.content)
            return says("done")
          })
        })
      )
      assert.strictEqual(again, last)
    }).pipe(durable)
  })

  it.effect("is summed up by the model when results are not what fills it, and goes on from there", () => {
    const shown: Array<string> = []
    const model = scripted(({ prompt }) => {
      const text = JSON.stringify(prompt.content)
      if (text.includes("Sum up the conversation")) return says("THE SUMMARY")
      shown.push(text)
      return says(`an answer ${"a".repeat(1_500)}`)
    })
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({})
      const questions = Array.from({ length: 6 }, (_, n) => `question ${n} ${"q".repeat(1_500)}`)
      yield* play(id, questions)
      const told = yield* compactions(id)
      assert.isAbove(told.length, 0)
      assert.isTrue(told.every(({ answer, summary }) => summary === "THE SUMMARY" && answer !== undefined))
      const last = shown.at(-1) ?? ""
      assert.include(last, "THE SUMMARY")
      assert.include(last, "question 5")
      assert.notInclude(last, "question 0")
      // All of it is still there to be read.
      assert.strictEqual((yield* manager.messages({ sessionId: id, after: 0, limit: 50 })).length, 12)
    }).pipe(inProcess({ model, tokens: 1_500 }), durable)
  })

  it.effect("is what it can be when no summary can be had", () => {
    const model = scripted(({ prompt }) =>
      JSON.stringify(prompt.content).includes("Sum up") ? says("") : says("a".repeat(3_000))
    )
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({})
      yield* play(id, ["one".repeat(1_000), "two", "three"])
      assert.strictEqual((yield* compactions(id)).length, 0)
    }).pipe(inProcess({ model, tokens: 1_000 }), durable)
  })
})

describe("what a model is told before everything else", () => {
  it.effect("is the prompt of the type of agent, and the AGENTS.md of the working directory as it is then", () => {
    let system: unknown
    const model = scripted(({ prompt }) => {
      const [first] = prompt.content
      system = first?.role === "system" ? first.content : undefined
      return says("ok")
    })
    const files = Layer.provide(AgentsFile.layer, [NodeFileSystem.layer, NodePath.layer])
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const directory = yield* temporaryDirectory
      writeFileSync(join(directory, "AGENTS.md"), "Use tabs.")
      const { id } = yield* manager.start({ agentType: "reviewer", directory })
      yield* play(id, ["hello"])
      assert.strictEqual(system, "You review code.\n\nUse tabs.")
      writeFileSync(join(directory, "AGENTS.md"), "Use spaces.")
      yield* play(id, ["hello"], 1)
      assert.strictEqual(system, "You review code.\n\nUse spaces.")
      const plain = yield* manager.start({})
      yield* play(plain.id, ["hello"])
      assert.isUndefined(system)
    }).pipe(
      inProcess({ model, agentTypes: [{ name: "reviewer", prompt: "You review code." }], instructions: files }),
      durable,
      Effect.scoped
    )
  })

  it.live("is bounded, and nothing where there is no such file", () =>
    Effect.gen(function* () {
      const { read } = yield* Instructions
      const directory = yield* temporaryDirectory
      assert.isUndefined(yield* read(join(directory, "nowhere")))
      mkdirSync(join(directory, "AGENTS.md"))
      assert.isUndefined(yield* read(directory))
      const large = yield* temporaryDirectory
      writeFileSync(join(large, "AGENTS.md"), "x".repeat(200_000))
      const text = yield* read(large)
      assert.isBelow(text?.length ?? 0, 66_000)
      assert.match(text ?? "", /cut: the file has 200000 bytes/)
    }).pipe(Effect.provide(Layer.provide(AgentsFile.layer, [NodeFileSystem.layer, NodePath.layer])), Effect.scoped)
  )

  it.effect("rules of the type of agent count besides those of the session", () =>
    Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({
        agentType: "careful",
        permissions: { rules: [{ class: "exec", decision: "allow" }] }
      })
      yield* manager.send({ sessionId: id, text: "/tool shell" })
      const { outcome } = yield* until(id, is("ToolCallSettled"))
      assert.strictEqual(outcome._tag === "ToolFailed" ? outcome.failure.code : outcome._tag, "permission_denied")
      assert.deepStrictEqual((yield* SessionWorld).runs, [])
    }).pipe(inProcess({ agentTypes: [{ name: "careful", rules: [{ class: "exec", decision: "deny" }] }] }), durable)
  )
})

describe("attachments", () => {
  it.effect("reach the model with their message: texts as text, pictures as files", () => {
    let content: unknown
    return Effect.gen(function* () {
      const manager = yield* SessionManager
      const { id } = yield* manager.start({})
      yield* manager.send({
        sessionId: id,
        text: "what is this?",
        attachments: [
          { _tag: "Text", name: "notes.txt", text: "some notes" },
          { _tag: "Image", name: "dot.png", mediaType: "image/png", data: "iVBORw0KGgo=" }
        ]
      })
      yield* ended(id, 1)
      const [first] = yield* manager.messages({ sessionId: id, after: 0, limit: 1 })
      assert.deepInclude(first, { attachments: ["notes.txt", "dot.png"] })
      assert.deepStrictEqual(content, [
        ["text", "what is this?"],
        ["text", "[notes.txt]\nsome notes"],
        ["file", "image/png", "iVBORw0KGgo="]
      ])
    }).pipe(
      inProcess({
        model: scripted(({ prompt }) => {
          const last = prompt.content.at(-1)
          if (last?.role === "user") {
            content = last.content.map((part) =>
              part.type === "file" ? [part.type, part.mediaType, part.data] : [part.type, part.text]
            )
          }
          return says("a dot")
        })
      }),
      durable
    )
  })
})

describe("promptOf", () => {
  it("pairs every call with its result", () => {
    const prompt = promptOf([user("a", 1), round(10, 2)], "be brief")
    assert.deepStrictEqual(
      prompt.content.map(({ role }) => role),
      ["system", "user", "assistant", "tool"]
    )
  })
})
