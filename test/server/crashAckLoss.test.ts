/**
 * crash-ack-loss: the server is killed with SIGKILL at a random instant during concurrent sends, again and again over
 * the same data. Everything that was acknowledged must be there, once, in a sequence without a gap.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import * as Client from "../../src/client.ts"
import { server } from "../support/CommandLine.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const ROUNDS = 5
const SENDS = 2_000
const SESSIONS = 50
const CONCURRENCY = 200

const sessionIds = Array.from({ length: SESSIONS }, (_, index) => SessionId.make(`ses_crash_${index}`))
const sessionOf = (index: number) => sessionIds[index % SESSIONS] ?? SessionId.make("ses_crash_0")

/** Message ids in the session's journal, in order; fails when its sequence has a gap or a repeat. */
const stored = Effect.fnUntraced(function* (sessionId: SessionId) {
  const espalier = yield* Client.Client
  const { sequence } = yield* espalier.GetSession({ sessionId })
  const deliveries = yield* espalier.Subscribe({ topic: Topic.ofSession(sessionId), from: 1 }).pipe(
    Stream.filter((delivery) => delivery._tag === "Event"),
    Stream.take(sequence),
    Stream.runCollect,
    Effect.timeout("20 seconds")
  )
  assert.deepStrictEqual(
    deliveries.map((delivery) => delivery.sequence),
    Array.from({ length: sequence }, (_, index) => index + 1)
  )
  return deliveries.flatMap(({ event }) => (event._tag === "MessageReceived" ? [event.messageId] : []))
})

describe("crash-ack-loss", () => {
  it.live(
    `${ROUNDS} rounds of ${SENDS} concurrent sends with a kill -9 in the midst lose, repeat and skip nothing`,
    () =>
      Effect.gen(function* () {
        const dataDirectory = yield* temporaryDirectory
        const acknowledged = new Set<MessageId>()
        const killedAt: Array<number> = []

        for (let round = 0; round < ROUNDS; round++) {
          yield* Effect.gen(function* () {
            const { running, url } = yield* server(dataDirectory)
            yield* Effect.gen(function* () {
              const espalier = yield* Client.Client
              yield* Effect.forEach(sessionIds, (sessionId) => espalier.StartSession({ sessionId }), {
                concurrency: 50,
                discard: true
              })
              const target = acknowledged.size + 50 + Math.floor(Math.random() * (SENDS - 100))
              const reached = yield* Deferred.make<void>()
              const send = Effect.fnUntraced(function* (index: number) {
                const messageId = MessageId.make(`msg_${round}_${index}`)
                yield* espalier.SendMessage({ sessionId: sessionOf(index), messageId, text: `message ${index}` }).pipe(
                  // Each session answers its messages one turn at a time: whoever is refused tries again, as a client would.
                  Effect.retry({ while: ({ _tag }) => _tag === "MailboxFull" || _tag === "Overloaded", times: 200 })
                )
                acknowledged.add(messageId)
                if (acknowledged.size >= target) yield* Deferred.succeed(reached, undefined)
              })
              const sends = Effect.forEach(
                Array.from({ length: SENDS }, (_, index) => index),
                (index) => Effect.ignore(send(index)),
                { concurrency: CONCURRENCY, discard: true }
              )
              const kill = Effect.andThen(
                Deferred.await(reached),
                Effect.sync(() => running.process.kill("SIGKILL"))
              )
              yield* Effect.raceFirst(
                sends,
                Effect.andThen(
                  kill,
                  Effect.promise(() => running.ended)
                )
              )
              killedAt.push(acknowledged.size)
            }).pipe(Effect.provide(Client.layer({ url }), { local: true }))
            running.process.kill("SIGKILL")
            yield* Effect.promise(() => running.ended)
          }).pipe(Effect.scoped)

          yield* Effect.gen(function* () {
            const { url } = yield* server(dataDirectory)
            const found = yield* Effect.forEach(sessionIds, stored, { concurrency: 10 }).pipe(
              Effect.provide(Client.layer({ url }), { local: true })
            )
            const all = found.flat()
            const once = new Set(all)
            assert.strictEqual(all.length, once.size, "a message was repeated")
            const lost = [...acknowledged].filter((id) => !once.has(id))
            assert.deepStrictEqual(lost, [], "acknowledged messages are gone")
          }).pipe(Effect.scoped)
        }
        assert.isAbove(killedAt[0] ?? 0, 0)
      }).pipe(Effect.scoped),
    300_000
  )

  it.live("a message that is sent again after a crash is acknowledged again and stands there once", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* temporaryDirectory
      const sessionId = SessionId.make("ses_again")
      const send = Effect.gen(function* () {
        const espalier = yield* Client.Client
        yield* espalier.StartSession({ sessionId })
        return yield* espalier.SendMessage({ sessionId, messageId: MessageId.make("msg_again"), text: "once" })
      })
      const first = yield* Effect.gen(function* () {
        const { running, url } = yield* server(dataDirectory)
        const acknowledgement = yield* Effect.provide(send, Client.layer({ url }), { local: true })
        running.process.kill("SIGKILL")
        yield* Effect.promise(() => running.ended)
        return acknowledgement
      }).pipe(Effect.scoped)
      const { url } = yield* server(dataDirectory)
      const [again, ids] = yield* Effect.all([send, stored(sessionId)]).pipe(
        Effect.provide(Client.layer({ url }), { local: true })
      )
      assert.deepStrictEqual(again, first)
      assert.deepStrictEqual(ids, ["msg_again"])
    }).pipe(Effect.scoped)
  )
})
