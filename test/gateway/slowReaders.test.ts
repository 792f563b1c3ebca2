/** Clients that read slowly, or not at all, and what that may cost: each row by its name. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import type { Socket } from "node:net"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import type * as Topic from "../../services/events/Topic.ts"
import { hardUnread } from "../../services/gateway/ConnectionLimits.ts"
import * as Client from "../../src/client.ts"
import { peakOf, server } from "../support/CommandLine.ts"
import { inTime as eventually } from "../support/eventually.ts"
import * as GatewayServer from "../support/GatewayServer.ts"

const { ServerUrl, call, masked, sessionOf, subscribersOf } = GatewayServer

layer(GatewayServer.layerWith({ connections: 600, perAddress: 500, unread: 1_000 }), { excludeTestServices: true })(
  "readers that are slow",
  (it) => {
    it.effect(
      "slow-subscriber: one of a hundred that reads slowly costs the others nothing, and its loss is exact",
      () =>
        Effect.gen(function* () {
          const url = yield* ServerUrl
          const espalier = yield* Client.make({ url })
          const { id, topic } = yield* sessionOf(espalier, 0, 1)
          let written = 1
          const sentAt: Array<number> = []
          const rounds = 2
          const perRound = 40

          const follow = Effect.fnUntraced(function* (pause: number) {
            const own = yield* Client.make({ url })
            const got: Array<Delivery> = []
            const late: Array<number> = []
            yield* own.Subscribe({ topic, policy: "sliding", capacity: pause === 0 ? 65_536 : 8 }).pipe(
              Stream.runForEach((delivery) => {
                got.push(delivery)
                if (delivery._tag === "Event") late.push(performance.now() - (sentAt[delivery.sequence] ?? 0))
                return pause === 0 ? Effect.void : Effect.sleep(pause)
              }),
              Effect.forkScoped
            )
            return { got, late }
          })
          const listeners = (count: number) =>
            eventually(
              `${count} listen`,
              Effect.map(subscribersOf(espalier, topic), (found) => found === count)
            )
          const write = Effect.gen(function* () {
            for (let n = 0; n < perRound; n++) {
              sentAt[++written] = performance.now()
              yield* espalier.SendMessage({ sessionId: id, text: "." })
            }
          })
          const latencyOf = (others: ReadonlyArray<{ readonly late: Array<number> }>) => {
            const all = others.flatMap(({ late }) => late.splice(0))
            return all.toSorted((a, b) => a - b)[Math.floor(all.length * 0.99)] ?? Infinity
          }

          const others = yield* Effect.forEach(Array.from({ length: 99 }), () => follow(0), { concurrency: 20 })
          yield* listeners(99)
          yield* write
          const haveAll = eventually(
            "the others have all",
            Effect.sync(() => others.every(({ got }) => got.at(-1)?._tag === "Event" && got.length === written - 1))
          )
          yield* haveAll
          latencyOf(others)
          // With it and without it in turns, so that whatever else the machine does is in both.
          const alone: Array<number> = []
          const beside: Array<number> = []
          for (let round = 0; round < rounds; round++) {
            yield* write
            yield* haveAll
            alone.push(latencyOf(others))
            yield* Effect.scoped(
              Effect.gen(function* () {
                const first = written
                const slow = yield* follow(1_000)
                yield* listeners(100)
                yield* write
                yield* haveAll
                beside.push(latencyOf(others))
                const [stats] = yield* espalier.TopicStats({ topic, limit: 1_000 })
                const its = stats?.list.find(({ capacity }) => capacity === 8)
                const published = written - first
                assert.deepInclude(its, { published })
                assert.strictEqual((its?.delivered ?? 0) + (its?.lost ?? 0) + (its?.pending ?? 0), published)
                assert.isAbove(its?.lost ?? 0, 0)
                assert.isAtMost(slow.got.length, 16)
              })
            )
            yield* listeners(99)
          }
          for (const { got } of others) {
            assert.deepStrictEqual(
              got.map((delivery) => (delivery._tag === "Event" ? delivery.sequence : delivery)),
              Array.from({ length: written - 1 }, (_, index) => index + 2)
            )
          }
          // The best round of each: what the machine does besides is in all others. Some milliseconds are its own even so.
          const best = Math.min(...alone)
          assert.isBelow(Math.min(...beside), 1.1 * best + 15, `${alone.join()} ${beside.join()}`)
        }).pipe(Effect.scoped)
    )

    const deafClients = 4

    /** The server's side of every connection that is opened meanwhile. */
    const serverSides = Effect.acquireRelease(
      Effect.sync(() => {
        const sockets = new Set<Socket>()
        const watch = (message: unknown) => {
          sockets.add((message as { readonly socket: Socket }).socket)
        }
        subscribe("net.server.socket", watch)
        return { sockets, watch }
      }),
      ({ watch }) => Effect.sync(() => void unsubscribe("net.server.socket", watch))
    )

    /** The server lets go of its deaf clients, and owes none of them more than a connection may cost meanwhile. */
    const areLetGo = (topic: Topic.Topic, sides: ReadonlySet<Socket>, wires: ReadonlyArray<Socket>) =>
      Effect.gen(function* () {
        const espalier = yield* Client.make({ url: yield* ServerUrl })
        yield* eventually(
          "they listen",
          Effect.map(subscribersOf(espalier, topic), (count) => sides.size >= wires.length && count > 0)
        )
        const from = performance.now()
        let owed = 0
        yield* eventually(
          "they are let go of",
          Effect.map(subscribersOf(espalier, topic), (count) => {
            for (const side of sides) owed = Math.max(owed, side.writableLength)
            return count === 0
          })
        )
        assert.isBelow(performance.now() - from, 10_000)
        assert.isAbove(owed, 0)
        assert.isAtMost(owed, hardUnread)
        for (const wire of wires) wire.destroy()
      })

    it.effect("never-reads: clients that read nothing of 400 long replies are let go of, at 8 MiB each at most", () =>
      Effect.gen(function* () {
        const url = yield* ServerUrl
        const espalier = yield* Client.make({ url })
        const { topic } = yield* sessionOf(espalier, 400, 50_000)
        const metadata = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`label${at}`, "x".repeat(1_000)]))
        yield* Effect.forEach(Array.from({ length: 20 }), () => espalier.StartSession({ metadata }))
        // Each of these is owed a megabyte.
        const calls = Array.from({ length: 100 }, (_, id) => call(id, "ListSessions", { limit: 20 }))
        const { sockets } = yield* serverSides
        const wires = yield* Effect.forEach(
          Array.from({ length: deafClients }),
          () => Effect.promise(() => GatewayServer.deaf(url, [call(1_000, "Subscribe", { topic, from: 1 }), ...calls])),
          { concurrency: "unbounded" }
        )
        yield* areLetGo(topic, sockets, wires)
      }).pipe(Effect.scoped)
    )

    it.effect("blind-acks: clients that acknowledge what they do not read are let go of all the same", () =>
      Effect.gen(function* () {
        const url = yield* ServerUrl
        const { topic } = yield* sessionOf(yield* Client.make({ url }), 400, 50_000)
        const ack = { _tag: "Ack", requestId: 1 }
        const { sockets } = yield* serverSides
        const wires = yield* Effect.forEach(
          Array.from({ length: deafClients }),
          () =>
            Effect.promise(() =>
              GatewayServer.deaf(url, [
                call(1, "Subscribe", { topic, from: 1 }),
                ...Array.from({ length: 1_000 }, () => ack)
              ])
            ),
          { concurrency: "unbounded" }
        )
        for (const wire of wires) wire.on("error", () => {})
        const blindly = yield* Effect.forkChild(
          Effect.forever(
            Effect.andThen(
              Effect.sync(() => {
                for (const wire of wires) wire.write(masked(ack))
              }),
              Effect.sleep(2)
            )
          )
        )
        yield* areLetGo(topic, sockets, wires)
        yield* Fiber.interrupt(blindly)
      }).pipe(Effect.scoped)
    )
  }
)

/** Asks for what a deaf client is owed, and reads it. */
const readAll = async (url: string, topic: string, sessionId: string) => {
  const client = await GatewayServer.socket(url)
  client.send(call(1, "Subscribe", { topic, from: 1 }))
  for (let at = 0; at < 250; at++) client.send(call(2 + at, "GetSession", { sessionId }))
  await client.next(({ requestId }) => requestId === 251)
  client.ws.close()
}

describe.skipIf(process.platform !== "linux")("in a process of its own", () => {
  it.live(
    "never-reads, blind-acks: ten deaf clients that are owed 12 to 20 MiB cost 8 each at most, and are let go of in 10 s",
    () =>
      Effect.gen(function* () {
        const { running, url } = yield* server()
        const espalier = yield* Client.make({ url })
        const { id, topic } = yield* sessionOf(espalier, 0, 0)
        const metadata = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`label${at}`, "x".repeat(1_000)]))
        yield* Effect.forEach(Array.from({ length: 400 }), () => espalier.UpdateSession({ sessionId: id, metadata }), {
          concurrency: 20,
          discard: true
        })
        // What answers of this size cost in passing, when they are read.
        yield* Effect.forEach(Array.from({ length: 10 }), () => Effect.promise(() => readAll(url, topic, id)), {
          concurrency: "unbounded",
          discard: true
        })
        const before = peakOf(running)
        const ack = { _tag: "Ack", requestId: 1 }
        const wires = yield* Effect.forEach(
          Array.from({ length: 10 }),
          (_, index) =>
            Effect.promise(() =>
              GatewayServer.deaf(url, [
                call(1, "Subscribe", { topic, from: 1 }),
                ...(index % 2 === 0
                  ? Array.from({ length: 1_000 }, () => ack)
                  : Array.from({ length: 250 }, (_, at) => call(2 + at, "GetSession", { sessionId: id })))
              ])
            ),
          { concurrency: "unbounded" }
        )
        for (const wire of wires) wire.on("error", () => {})
        const from = performance.now()
        let isDone = false
        while (!isDone) {
          for (const [index, wire] of wires.entries()) if (index % 2 === 0) wire.write(masked(ack))
          isDone = (yield* subscribersOf(espalier, topic)) === 0 && performance.now() - from > 1_000
          // Ten after the last byte that the system took, which may itself take its time on a loaded machine.
          assert.isBelow(performance.now() - from, 15_000)
          yield* Effect.sleep(20)
        }
        assert.isBelow(peakOf(running) - before, wires.length * hardUnread)
        for (const wire of wires) wire.destroy()
      }).pipe(Effect.scoped)
  )
})
