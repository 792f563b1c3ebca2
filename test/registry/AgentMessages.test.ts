import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as LocalAgentMessages from "../../layers/registry/LocalAgentMessages.ts"
import * as RegistryRouter from "../../layers/registry/RegistryRouter.ts"
import { mainOf } from "../../services/registry/Agent.ts"
import { type AgentMessage, AgentMessages, type Receive } from "../../services/registry/AgentMessage.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { MAILBOX_CAPACITY } from "../../services/session/decide.ts"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { key, own } from "../contracts/Registry.ts"
import { eventsOf, layerDurable, layerProcess } from "../support/SessionWorld.ts"

const provided = LocalAgentMessages.layer.pipe(
  Layer.provideMerge(RegistryRouter.layer),
  Layer.provideMerge(layerProcess()),
  Layer.provideMerge(layerDurable)
)

const test = (name: string, body: Effect.Effect<void, unknown, Layer.Success<typeof provided>>) =>
  it.effect(name, () => Effect.provide(Effect.scoped(body), provided))

const ses = (name: string) => SessionId.make(`ses_${name}`)

/** A bounded mailbox of an agent's own. */
const mailbox = Effect.fnUntraced(function* (capacity: number) {
  const queue = yield* Queue.dropping<AgentMessage>(capacity)
  const receive: Receive = (message) =>
    Effect.map(Queue.offer(queue, message), (isTaken) =>
      isTaken ? { _tag: "Delivered" } : { _tag: "MailboxFull", capacity }
    )
  return { queue, receive }
})

describe("messages between agents", () => {
  test(
    "to a session it is a durable message in its mailbox, with who sent it, and a retry is not a second one",
    Effect.gen(function* () {
      const messages = yield* AgentMessages
      const sessions = yield* SessionManager
      const { id } = yield* sessions.start({ sessionId: ses("a") })
      const letter = { text: "look at this", from: mainOf(ses("b")), messageId: MessageId.make("msg_1") }
      const receipt = yield* messages.send(mainOf(id), letter)
      assert.deepStrictEqual(receipt, {
        agent: mainOf(id),
        messageId: MessageId.make("msg_1"),
        outcome: { _tag: "Delivered", sequence: 2 }
      })
      assert.deepStrictEqual((yield* messages.send(mainOf(id), letter)).outcome, receipt.outcome)
      const received = (yield* eventsOf(id)).filter(({ event }) => event._tag === "MessageReceived")
      assert.lengthOf(received, 1)
      assert.deepStrictEqual(received[0]?.event, { _tag: "MessageReceived", ...letter })
      const [message] = yield* sessions.messages({ sessionId: id, after: 0, limit: 1 })
      assert.deepStrictEqual(message?._tag === "UserMessage" ? message.from : undefined, mainOf(ses("b")))
    })
  )

  test(
    "each has its outcome: delivered, mailbox full, no such agent, ended, no mailbox",
    Effect.gen(function* () {
      const messages = yield* AgentMessages
      const sessions = yield* SessionManager
      const { id } = yield* sessions.start({ sessionId: ses("ended") })
      yield* sessions.stop(id)
      const { receive } = yield* mailbox(2)
      yield* own({ key: key("own"), receive })
      yield* own({ key: key("own", "worker") })
      const outcomes = yield* Effect.forEach(
        [mainOf(ses("own")), mainOf(ses("own")), mainOf(ses("own")), mainOf(ses("nobody")), mainOf(id)],
        (to) => Effect.map(messages.send(to, { text: "hi" }), ({ outcome }) => outcome._tag)
      )
      assert.deepStrictEqual(outcomes, ["Delivered", "Delivered", "MailboxFull", "NoSuchAgent", "Ended"])
      const none = yield* messages.send(key("own", "worker"), { text: "hi" })
      assert.strictEqual(none.outcome._tag, "NoMailbox")
      const nobody = yield* messages.send(key("own", "worker", 7), { text: "hi" })
      assert.strictEqual(nobody.outcome._tag, "NoSuchAgent")
    })
  )

  test(
    "a session's mailbox that is full says so, and takes nothing",
    Effect.gen(function* () {
      const messages = yield* AgentMessages
      const sessions = yield* SessionManager
      const { id } = yield* sessions.start({ sessionId: ses("a") })
      const sent = yield* Effect.forEach(
        Array.from({ length: MAILBOX_CAPACITY + 20 }),
        () => messages.send(mainOf(id), { text: "wait for it" }),
        { concurrency: "unbounded" }
      )
      const delivered = sent.filter(({ outcome }) => outcome._tag === "Delivered").length
      const full = sent.filter(({ outcome }) => outcome._tag === "MailboxFull").length
      assert.strictEqual(delivered + full, sent.length)
      assert.isAbove(full, 0)
      const received = (yield* eventsOf(id)).filter(({ event }) => event._tag === "MessageReceived")
      assert.lengthOf(received, delivered)
    })
  )

  test(
    "an agent that does not answer is not waited for",
    Effect.gen(function* () {
      const messages = yield* AgentMessages
      yield* own({ key: key("a"), receive: () => Effect.never })
      const sending = yield* Effect.forkChild(messages.send(key("a"), { text: "hello?", patience: "3 seconds" }))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(sending)).outcome._tag, "TimedOut")
    })
  )

  test(
    "an agent whose mailbox breaks harms neither the sender nor the others",
    Effect.gen(function* () {
      const messages = yield* AgentMessages
      yield* own({ key: key("a"), tags: ["t"], receive: () => Effect.die("poisoned") })
      const { queue, receive } = yield* mailbox(1)
      yield* own({ key: key("b"), tags: ["t"], receive })
      const receipts = yield* messages.broadcast({ tag: "t" }, { text: "hi" })
      assert.deepStrictEqual(
        receipts.map(({ outcome }) => outcome._tag),
        ["Refused", "Delivered"]
      )
      assert.strictEqual((yield* Queue.take(queue)).text, "hi")
    })
  )

  test(
    "routed by query it goes to one that takes work, and never back to its sender",
    Effect.gen(function* () {
      const messages = yield* AgentMessages
      const got: Array<string> = []
      for (const name of ["a", "b", "c", "d"]) {
        const receive: Receive = () =>
          Effect.sync(() => {
            got.push(name)
            return { _tag: "Delivered" }
          })
        const status = name === "c" ? "draining" : "idle"
        yield* own({ key: key(name), capabilities: ["search"], status, receive })
      }
      for (let at = 0; at < 4; at++) {
        yield* messages.route({ capability: "search" }, { text: "find it", from: key("a") })
      }
      assert.deepStrictEqual(got, ["b", "d", "b", "d"])
      const refusal = yield* Effect.flip(messages.route({ capability: "fly" }, { text: "up" }))
      assert.strictEqual(refusal.asked, "capability fly")
    })
  )

  test(
    "a broadcast reaches all that fit but its sender, with an outcome for each, within its limits",
    Effect.gen(function* () {
      const messages = yield* AgentMessages
      const registry = yield* Registry
      let underway = 0
      let most = 0
      const receive: Receive = () =>
        Effect.gen(function* () {
          most = Math.max(most, ++underway)
          yield* Effect.sleep("10 millis")
          underway--
          return { _tag: "Delivered" as const }
        })
      for (let at = 0; at < 300; at++) yield* own({ key: key(`s${at}`), tags: ["all"], receive })
      const sending = yield* Effect.forkChild(
        messages.broadcast({ tag: "all" }, { text: "hear", from: key("s3"), limit: 200 })
      )
      yield* Stream.range(1, 30).pipe(Stream.runForEach(() => TestClock.adjust("10 millis")))
      const receipts = yield* Fiber.join(sending)
      assert.lengthOf(receipts, 200)
      assert.isTrue(receipts.every(({ outcome }) => outcome._tag === "Delivered"))
      assert.notInclude(
        receipts.map(({ agent }) => agent.session),
        ses("s3")
      )
      assert.isAtMost(most, 16)
      assert.strictEqual(new Set(receipts.map(({ messageId }) => messageId)).size, 1)
      assert.lengthOf(yield* messages.broadcast({ tag: "all" }, { text: "x", limit: 0 }), 0)
      assert.strictEqual(yield* registry.count, 300)
    })
  )

  test(
    "a broadcast to agents that do not answer ends when its patience does",
    Effect.gen(function* () {
      const messages = yield* AgentMessages
      for (let at = 0; at < 100; at++) yield* own({ key: key(`s${at}`), receive: () => Effect.never })
      const sending = yield* Effect.forkChild(messages.broadcast({}, { text: "hello?", patience: "2 seconds" }))
      yield* TestClock.adjust("2 seconds")
      const receipts = yield* Fiber.join(sending)
      assert.lengthOf(receipts, 100)
      assert.isTrue(receipts.every(({ outcome }) => outcome._tag === "TimedOut"))
    })
  )
})
