/** The runtime inside another Effect program: no server, no port, and the model's Layer replaced by one of our own. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { LanguageModel, type Response } from "effect/ai"
import { Embedded, EventBus, SessionManager, Topic } from "espalier"

const tokens = { uncached: 0, total: 0, cacheRead: 0, cacheWrite: 0 }
const usage = { inputTokens: tokens, outputTokens: { total: 0, text: 0, reasoning: 0 } }
const answer: ReadonlyArray<Response.StreamPartEncoded> = [
  { type: "text-start", id: "1" },
  { type: "text-delta", id: "1", delta: "I only ever say this." },
  { type: "text-end", id: "1" },
  { type: "finish", reason: "stop", usage, response: undefined }
]
const OneLiner = Layer.effect(
  LanguageModel.LanguageModel,
  LanguageModel.make({ generateText: () => Effect.succeed([]), streamText: () => Stream.fromIterable(answer) })
)

const program = Effect.gen(function* () {
  const sessions = yield* SessionManager
  const events = yield* EventBus
  const session = yield* sessions.start({ title: "embedded" })
  yield* sessions.send({ sessionId: session.id, text: "Hello?" })
  yield* events.subscribe({ topic: Topic.ofSession(session.id), from: 1 }).pipe(
    Stream.takeUntil((delivery) => delivery._tag === "Event" && delivery.event._tag === "TurnEnded"),
    Stream.runForEach((delivery) =>
      delivery._tag === "Event" ? Console.log(delivery.sequence, delivery.event) : Effect.void
    )
  )
})

program.pipe(Effect.provide(Embedded.layerMemory({ model: OneLiner })), NodeRuntime.runMain)
