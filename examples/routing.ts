/** Agents that route work to each other: by what they can do, to the one with the least under way, and to all at once. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Queue } from "effect"
import { type AgentMessage, AgentMessages, Embedded, Registry, Router, SessionId } from "espalier"

const team = SessionId.make("ses_team")

/** An agent with a bounded mailbox of its own, which works off one message after the other. */
const reviewer = Effect.fnUntraced(function* (index: number, pace: number) {
  const registry = yield* Registry
  const inbox = yield* Queue.dropping<AgentMessage>(2)
  yield* registry.register({
    key: { session: team, role: "reviewer", index },
    capabilities: ["review"],
    receive: (message) =>
      Effect.map(Queue.offer(inbox, message), (isTaken) =>
        isTaken ? { _tag: "Delivered" } : { _tag: "MailboxFull", capacity: 2 }
      )
  })
  yield* Queue.take(inbox).pipe(
    Effect.tap(({ text }) => Effect.delay(Console.log(`reviewer ${index}: ${text}`), pace)),
    Effect.forever,
    Effect.forkScoped
  )
})

const program = Effect.gen(function* () {
  const messages = yield* AgentMessages
  const router = yield* Router
  for (const [index, pace] of [20, 20, 200].entries()) yield* reviewer(index, pace)

  for (let change = 1; change <= 3; change++) {
    const { agent, outcome } = yield* messages.route({ capability: "review" }, { text: `change ${change}` })
    yield* Console.log(`change ${change} -> reviewer ${agent.index}: ${outcome._tag}`)
  }
  // Three reviews at once: each finds the one with the fewest under way.
  yield* Effect.forEach(
    [1, 2, 3],
    (number) =>
      router.withAgent({ capability: "review", strategy: "least_connections" }, ({ key }) =>
        Effect.delay(Console.log(`talk ${number} was with reviewer ${key.index}`), "50 millis")
      ),
    { concurrency: "unbounded" }
  )
  for (let round = 1; round <= 3; round++) {
    const receipts = yield* messages.broadcast({ capability: "review" }, { text: `stand-up ${round}` })
    yield* Console.log(`stand-up ${round}:`, receipts.map(({ outcome }) => outcome._tag).join(", "))
  }
  const refusal = yield* Effect.flip(messages.route({ capability: "deploy" }, { text: "ship it" }))
  yield* Console.log(refusal.message)
  yield* Effect.sleep("100 millis")
})

program.pipe(Effect.scoped, Effect.provide(Embedded.layerMemory()), NodeRuntime.runMain)
