/** resume-gap: a reader whose connection, and whose server, is cut off again and again misses and repeats nothing. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import { CursorAhead, CursorExpired, SubscriptionCut } from "../../services/events/Subscription.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Overloaded } from "../../services/gateway/Overloaded.ts"
import { ServerUnreachable } from "../../services/gateway/ServerUnreachable.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import * as Client from "../../src/client.ts"
import { follow, type Refusal } from "../../src/client/follow.ts"
import { delayOf } from "../../src/client/reconnect.ts"
import { server } from "../support/CommandLine.ts"
import * as GatewayServer from "../support/GatewayServer.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const portOf = (url: string) => Number(new URL(url).port)
const sequences = (got: ReadonlyArray<Delivery>) =>
  got.flatMap((delivery) => (delivery._tag === "Event" ? [delivery.sequence] : []))
const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1)

/** What a follower has got, while it follows. */
const following = Effect.fnUntraced(function* (topic: Topic.Topic, options?: Client.FollowOptions) {
  const got: Array<Delivery> = []
  const fiber = yield* Client.follow(topic, options).pipe(
    Stream.runForEach((delivery) => Effect.sync(() => got.push(delivery))),
    Effect.forkScoped
  )
  const until = (last: number): Effect.Effect<void> =>
    Effect.suspend(() =>
      (sequences(got).at(-1) ?? 0) >= last ? Effect.void : Effect.andThen(Effect.sleep(5), until(last))
    )
  return { got, fiber, until }
})

describe("resume-gap", () => {
  for (const [transport, clientLayer] of [
    ["WebSocket", Client.layer],
    ["HTTP", Client.layerHttp]
  ] as const) {
    it.live(`over ${transport}: 50 cuts at random under a concurrent writer`, () =>
      Effect.gen(function* () {
        const url = yield* GatewayServer.ServerUrl
        const proxy = yield* TcpProxy.make(portOf(url))
        const writer = yield* Client.make({ url })
        const { id } = yield* writer.StartSession({ title: "" })
        let written = 1
        yield* writer.SendMessage({ sessionId: id, text: "." }).pipe(
          Effect.andThen(() => Effect.sync(() => written++)),
          Effect.andThen(Effect.sleep(1)),
          Effect.forever,
          Effect.forkScoped
        )
        const live = clientLayer({ url: `http://127.0.0.1:${proxy.port}` })
        yield* Effect.gen(function* () {
          const all = yield* following(Topic.ofSession(id), { from: 1 })
          const small = yield* following(Topic.ofSession(id), { from: 1, capacity: 2 })
          let cuts = 0
          while (cuts < 50) {
            const before = all.got.length
            yield* Effect.sleep(Math.random() * 60)
            if (all.got.length > before && proxy.cut(cuts % 2 === 0) > 0) cuts++
          }
          const last = written
          yield* Effect.all([all.until(last), small.until(last)], { concurrency: 2 }).pipe(Effect.timeout("10 seconds"))
          for (const { got } of [all, small]) assert.deepStrictEqual(sequences(got), upTo(sequences(got).length))
        }).pipe(Effect.provide(live))
      }).pipe(Effect.scoped, Effect.provide(GatewayServer.layer), Effect.timeout("50 seconds"))
    )
  }

  it.live("a server is killed and comes back under it, at another port", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* temporaryDirectory
      const first = yield* server(dataDirectory)
      const proxy = yield* TcpProxy.make(portOf(first.url))
      yield* Effect.gen(function* () {
        const espalier = yield* Client.Client
        const { id } = yield* espalier.StartSession({ title: "" })
        const all = yield* following(Topic.ofSession(id), { from: 1 })
        const now = yield* following(Topic.ofSession(id))
        yield* espalier.SendMessage({ sessionId: id, text: "one" })
        yield* all.until(5)
        yield* now.until(5)
        const agents = yield* following(Topic.agents, { from: 1 })
        yield* agents.until(1)
        first.running.process.kill("SIGKILL")
        yield* Effect.promise(() => first.running.ended)
        const second = yield* server(dataDirectory)
        proxy.target = portOf(second.url)
        const direct = yield* Client.make({ url: second.url })
        yield* direct.SendMessage({ sessionId: id, text: "two" })
        const { sequence } = yield* direct.GetSession({ sessionId: id })
        yield* all.until(sequence)
        yield* now.until(sequence)
        assert.deepStrictEqual(sequences(all.got), upTo(sequences(all.got).length))
        const seen = sequences(now.got)
        assert.deepStrictEqual(seen, upTo(seen.at(-1) ?? 0).slice(-seen.length))
        // A system topic begins anew with the server: its follower does, too, instead of giving up.
        assert.strictEqual(agents.fiber.pollUnsafe(), undefined)
      }).pipe(Effect.provide(Client.layer({ url: `http://127.0.0.1:${proxy.port}` })), Effect.scoped)
    }).pipe(Effect.scoped, Effect.timeout("40 seconds"))
  )
})

describe("follow", () => {
  const topic = Topic.ofSession(SessionId.make("ses_a"))
  const event = (sequence: number, of: Topic.Topic = topic): Delivery => ({
    _tag: "Event",
    topic: of,
    sequence,
    at: 0,
    event: { _tag: "SessionEnded", reason: "" }
  })
  /** A server that answers each subscription with the next of its answers. */
  const answering = (...answers: ReadonlyArray<Stream.Stream<Delivery, Refusal>>) => {
    const asked: Array<number> = []
    return {
      asked,
      subscribe: ({ from }: { readonly from: number }) => {
        asked.push(from)
        return answers[asked.length - 1] ?? Stream.never
      }
    }
  }
  const unreachable = Stream.fail(new ServerUnreachable({ url: "", detail: "" }))

  it.live("from now on means from the moment it starts, also when the connection breaks before the first event", () =>
    Effect.gen(function* () {
      const { asked, subscribe } = answering(
        Stream.fail(new CursorAhead({ topic, from: 2 ** 52, latest: 7 })),
        unreachable,
        Stream.make(event(8), event(9))
      )
      const got = yield* follow(subscribe, topic).pipe(Stream.take(2), Stream.runCollect)
      assert.deepStrictEqual(sequences(got), [8, 9])
      assert.deepStrictEqual(asked, [2 ** 52, 8, 8])
    })
  )

  it.live("heals from what a server says when it is busy, cuts off, or just ends", () =>
    Effect.gen(function* () {
      const { asked, subscribe } = answering(
        Stream.concat(
          Stream.make(event(1)),
          Stream.fail(new SubscriptionCut({ topic, after: 1, reason: "queue_full" }))
        ),
        Stream.fail(new Overloaded({ limit: 1 })),
        Stream.make(event(2)),
        Stream.make(event(3))
      )
      const got = yield* follow(subscribe, topic, { from: 1 }).pipe(Stream.take(3), Stream.runCollect)
      assert.deepStrictEqual(sequences(got), [1, 2, 3])
      assert.deepStrictEqual(asked, [1, 2, 2, 3])
    })
  )

  it.live("gives up on what does not heal, with the error that says why", () =>
    Effect.gen(function* () {
      const expired = new CursorExpired({ topic, from: 2, earliest: 9 })
      const { asked, subscribe } = answering(Stream.make(event(1)), Stream.fail(expired))
      const error = yield* Effect.flip(Stream.runDrain(follow(subscribe, topic, { from: 1 })))
      assert.strictEqual(error, expired)
      assert.deepStrictEqual(asked, [1, 2])
    })
  )

  it.live("of a system topic it tells what was missed, and begins anew with a new server", () =>
    Effect.gen(function* () {
      const { subscribe } = answering(
        Stream.make(event(1, Topic.health)),
        Stream.fail(new CursorExpired({ topic: Topic.health, from: 2, earliest: 5 })),
        Stream.make(event(5, Topic.health)),
        Stream.fail(new CursorAhead({ topic: Topic.health, from: 6, latest: 1 })),
        Stream.make(event(1, Topic.health))
      )
      const got = yield* follow(subscribe, Topic.health, { from: 1 }).pipe(Stream.take(4), Stream.runCollect)
      assert.deepStrictEqual(
        got.map((delivery) => (delivery._tag === "Event" ? delivery.sequence : delivery)),
        [1, { _tag: "Lagged", topic: Topic.health, from: 2, to: 4, count: 3 }, 5, 1]
      )
    })
  )

  it("waits longer each time, up to five seconds, and never all at once", () => {
    assert.deepStrictEqual(
      [0, 1, 2, 5, 6, 100].map((failures) => delayOf(failures, 1)),
      [100, 200, 400, 3200, 5000, 5000]
    )
    assert.strictEqual(delayOf(0, 0), 50)
  })
})
