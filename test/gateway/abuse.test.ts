/** What clients do to a server, by ill will or by bad luck, and what it may cost: each row by its name. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { createConnection, type Socket } from "node:net"
import { gzipSync } from "node:zlib"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { defaultLimits, hardUnread, judgeConnection } from "../../services/gateway/ConnectionLimits.ts"
import * as Client from "../../src/client.ts"
import { inTime as eventually } from "../support/eventually.ts"
import * as GatewayServer from "../support/GatewayServer.ts"
import * as TcpProxy from "../support/TcpProxy.ts"

const { ServerUrl, masked, raw, socket } = GatewayServer
const MiB = 1024 * 1024
const portOf = (url: string) => Number(new URL(url).port)
const call = (id: number, tag: string, payload: unknown = null) => ({ _tag: "Request", id, tag, payload, headers: [] })

const subscribersOf = (espalier: Client.Operation, topic?: Topic.Topic) =>
  Effect.map(espalier.TopicStats({ limit: 1, ...(topic === undefined ? {} : { topic }) }), (topics) =>
    topics.reduce((sum, { subscribers }) => sum + subscribers, 0)
  )

/** A session with so many messages of so many characters. */
const sessionOf = Effect.fnUntraced(function* (espalier: Client.Operation, messages: number, length: number) {
  const { id } = yield* espalier.StartSession({ title: "" })
  const text = "x".repeat(length)
  yield* Effect.forEach(Array.from({ length: messages }), () => espalier.SendMessage({ sessionId: id, text }))
  return { id, topic: Topic.ofSession(id) }
})

const limits = { connections: 600, perAddress: 500, ping: 200, silence: 800, unread: 1_000 }

layer(GatewayServer.layerWith(limits), { excludeTestServices: true })("under abuse", (it) => {
  it.effect("slow-subscriber: one of twenty that reads slowly costs the others nothing, and its loss is exact", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const espalier = yield* Client.make({ url })
      const { id, topic } = yield* sessionOf(espalier, 0, 1)
      const events = 1_000
      const follow = Effect.fnUntraced(function* (pause: number) {
        const own = yield* Client.make({ url })
        const got: Array<Delivery> = []
        const fiber = yield* own.Subscribe({ topic, policy: "sliding", capacity: pause === 0 ? 65_536 : 8 }).pipe(
          Stream.tap((delivery) => {
            got.push(delivery)
            return pause === 0 ? Effect.void : Effect.sleep(pause)
          }),
          Stream.takeUntil((delivery) => "sequence" in delivery && delivery.sequence === events + 1),
          Stream.runDrain,
          Effect.forkScoped
        )
        return { got, fiber }
      })
      const readers = yield* Effect.forEach(Array.from({ length: 20 }), (_, index) => follow(index === 0 ? 30 : 0))
      yield* eventually(
        "all listen",
        Effect.map(subscribersOf(espalier, topic), (count) => count === 20)
      )
      for (let n = 0; n < events; n++) yield* espalier.SendMessage({ sessionId: id, text: "." })
      for (const [index, { fiber, got }] of readers.entries()) {
        yield* Fiber.join(fiber)
        const delivered = got.filter((delivery) => delivery._tag === "Event").length
        const lost = got.reduce((sum, delivery) => sum + (delivery._tag === "Lagged" ? delivery.count : 0), 0)
        assert.strictEqual(delivered + lost, events)
        if (index === 0) assert.isAbove(lost, 0)
        else assert.strictEqual(lost, 0)
      }
    }).pipe(Effect.scoped)
  )

  /** The server lets go of a deaf client, and its memory stays where it was meanwhile. */
  const isLetGo = (topic: Topic.Topic, wire: Socket) =>
    Effect.gen(function* () {
      const espalier = yield* Client.make({ url: yield* ServerUrl })
      yield* eventually(
        "it listens",
        Effect.map(subscribersOf(espalier, topic), (count) => count === 1)
      )
      const before = process.memoryUsage().rss
      let most = 0
      yield* eventually(
        "it is let go of",
        Effect.map(subscribersOf(espalier, topic), (count) => {
          most = Math.max(most, process.memoryUsage().rss - before)
          return count === 0
        })
      )
      // The journal of the test is in this process as well: what is measured is what comes on top of it.
      assert.isBelow(most, 8 * hardUnread)
      wire.destroy()
    })

  it.effect("never-reads: a client that reads nothing is let go of, whatever it is owed", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const { topic } = yield* sessionOf(yield* Client.make({ url }), 400, 50_000)
      const calls = Array.from({ length: 200 }, (_, id) => call(id, "ListSessions", {}))
      const wire = yield* Effect.promise(() =>
        GatewayServer.deaf(url, [call(1_000, "Subscribe", { topic, from: 1 }), ...calls])
      )
      yield* isLetGo(topic, wire)
    }).pipe(Effect.scoped)
  )

  it.effect("blind-acks: a client that acknowledges what it does not read is let go of all the same", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const { topic } = yield* sessionOf(yield* Client.make({ url }), 400, 50_000)
      const acks = Array.from({ length: 5_000 }, () => ({ _tag: "Ack", requestId: 1 }))
      const wire = yield* Effect.promise(() =>
        GatewayServer.deaf(url, [call(1, "Subscribe", { topic, from: 1 }), ...acks])
      )
      const blindly = yield* Effect.forkChild(
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => wire.write(masked({ _tag: "Ack", requestId: 1 }))),
            Effect.sleep(2)
          )
        )
      )
      wire.on("error", () => {})
      yield* isLetGo(topic, wire)
      yield* Fiber.interrupt(blindly)
    }).pipe(Effect.scoped)
  )

  it.effect("subscriber-storm: 250 that connect, subscribe and vanish leave nothing behind", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const espalier = yield* Client.make({ url })
      const { id, topic } = yield* sessionOf(espalier, 1, 1)
      const proxy = yield* TcpProxy.make(portOf(url))
      const storm = yield* Effect.forEach(
        Array.from({ length: 250 }),
        (_, index) =>
          Effect.promise(() =>
            GatewayServer.deaf(index % 5 === 0 ? `http://127.0.0.1:${proxy.port}` : url, [
              call(1, "Subscribe", { topic, from: 1 })
            ])
          ),
        { concurrency: 50 }
      )
      yield* eventually(
        "all listen",
        Effect.map(subscribersOf(espalier, topic), (count) => count === 250)
      )
      // A fifth of them without a word: neither end nor reset comes through.
      proxy.freeze()
      for (const [index, wire] of storm.entries()) {
        wire.on("error", () => {})
        if (index % 2 === 0) wire.resetAndDestroy()
        else wire.destroy()
      }
      const before = performance.now()
      yield* espalier.SendMessage({ sessionId: id, text: "still here" })
      assert.isBelow(performance.now() - before, 2_000)
      yield* eventually(
        "nobody listens",
        Effect.map(subscribersOf(espalier, topic), (count) => count === 0)
      )
    }).pipe(Effect.scoped)
  )

  it.effect("dead-peer: one that vanishes without a word is noticed, one that only has nothing to say is not", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const espalier = yield* Client.make({ url })
      const { topic } = yield* sessionOf(espalier, 1, 1)
      const proxy = yield* TcpProxy.make(portOf(url))
      const subscribe = call(1, "Subscribe", { topic, from: 1 })
      const quiet = yield* Effect.promise(() => socket(url))
      const vanishing = yield* Effect.promise(() => socket(`http://127.0.0.1:${proxy.port}`))
      quiet.send(subscribe)
      vanishing.send(subscribe)
      yield* eventually(
        "both listen",
        Effect.map(subscribersOf(espalier, topic), (count) => count === 2)
      )
      yield* Effect.sleep(2 * limits.silence)
      assert.strictEqual(yield* subscribersOf(espalier, topic), 2)
      proxy.freeze()
      yield* eventually(
        "one is left",
        Effect.map(subscribersOf(espalier, topic), (count) => count === 1)
      )
      yield* Effect.sleep(limits.silence)
      assert.strictEqual(yield* subscribersOf(espalier, topic), 1)
      quiet.ws.close()
    }).pipe(Effect.scoped)
  )

  it.effect("frame-oversize: frames of 1, 15, 17 and 101 MiB are refused with 1009, most of them unread", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const rss = process.memoryUsage().rss
      for (const size of [MiB + 1, 15 * MiB, 17 * MiB, 101 * MiB]) {
        const wire = yield* Effect.promise(() => GatewayServer.deaf(url, []))
        const answer = yield* Effect.promise(
          () =>
            new Promise<Buffer>((resolve) => {
              wire.once("data", resolve)
              wire.resume()
              const head = Buffer.alloc(14)
              head.set([0x81, 0xff])
              head.writeBigUInt64BE(BigInt(size), 2)
              wire.write(head)
              wire.write(Buffer.alloc(64 * 1024, 0x20))
            })
        )
        assert.deepStrictEqual([answer[0], answer.readUInt16BE(2)], [0x88, 1009])
        wire.destroy()
      }
      assert.isBelow(process.memoryUsage().rss - rss, 32 * MiB)
    })
  )

  it.effect("decompression-bomb: nothing is inflated, neither a body nor a WebSocket message", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const { host } = new URL(url)
      const before = process.memoryUsage().rss
      const bomb = gzipSync(Buffer.alloc(64 * MiB, 0x20))
      const response = yield* Effect.promise(() =>
        fetch(`${url}/rpc`, {
          method: "POST",
          body: bomb,
          headers: { "content-type": "application/json", "content-encoding": "gzip" }
        })
      )
      assert.include(yield* Effect.promise(() => response.text()), "malformed")
      assert.isBelow(process.memoryUsage().rss - before, 64 * MiB + 32 * MiB)
      const upgrade = yield* Effect.promise(() =>
        raw(
          url,
          `GET /rpc/ws HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n`
        )
      )
      assert.match(upgrade, /^HTTP\/1.1 101/)
      assert.notMatch(upgrade, /sec-websocket-extensions/i)
    })
  )

  it.effect("an answer beyond 8 MiB is refused with what to ask instead", () =>
    Effect.gen(function* () {
      const espalier = yield* Client.make({ url: yield* ServerUrl })
      const metadata = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`label${at}`, "x".repeat(1_000)]))
      yield* Effect.forEach(Array.from({ length: 200 }), () => espalier.StartSession({ metadata }))
      const refusal = yield* Effect.flip(espalier.ListSessions({ limit: 1_000 }))
      assert.strictEqual(refusal._tag, "InvalidInput")
      assert.include(refusal.message, "ask for less at a time")
      assert.strictEqual((yield* espalier.ListSessions({ limit: 10 })).length, 10)
    }).pipe(Effect.scoped)
  )
})

layer(GatewayServer.layerWith({ connections: 60, perAddress: 20 }), { excludeTestServices: true })(
  "at the door",
  (it) => {
    it.effect("connection-flood: caps per address and in all, told in a sentence; who says nothing is shown out", () =>
      Effect.gen(function* () {
        const url = yield* ServerUrl
        const open = (localAddress: string, count: number) =>
          Effect.promise(() =>
            Promise.all(
              Array.from(
                { length: count },
                () =>
                  new Promise<{ readonly wire: Socket; readonly said: () => string; readonly closed: Promise<number> }>(
                    (resolve) => {
                      let said = ""
                      const from = performance.now()
                      const wire = createConnection({ port: portOf(url), host: "127.0.0.1", localAddress })
                      wire.on("data", (data) => (said += data.toString()))
                      wire.on("error", () => {})
                      const closed = new Promise<number>((done) =>
                        wire.on("close", () => done(performance.now() - from))
                      )
                      wire.on("connect", () => setTimeout(() => resolve({ wire, said: () => said, closed }), 200))
                    }
                  )
              )
            )
          )
        const refusals = (wires: ReadonlyArray<{ readonly said: () => string }>) =>
          wires.map(({ said }) => said()).filter((said) => said !== "")
        const one = yield* open("127.0.0.2", 50)
        const told = refusals(one)
        assert.strictEqual(told.length, 30)
        assert.match(told[0] ?? "", /^HTTP\/1.1 503 .*\r\n[^]*"too_many_connections".*127.0.0.2 has 20 connections/)
        assert.strictEqual((yield* Effect.promise(() => fetch(`${url}/health`))).status, 200)
        const others = [...(yield* open("127.0.0.3", 20)), ...(yield* open("127.0.0.4", 30))]
        assert.match(refusals(others)[0] ?? "", /the server has 60 connections|127.0.0.4 has 20/)
        // Some of them send a header a little at a time.
        const dripping = one.slice(0, 20).filter(({ said }) => said() === "")
        for (const { wire } of dripping) wire.write("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ")
        const lives = yield* Effect.promise(() => Promise.all([...one, ...others].map(({ closed }) => closed)))
        assert.isBelow(Math.max(...lives), 12_000)
        assert.strictEqual((yield* Effect.promise(() => fetch(`${url}/health`))).status, 200)
      })
    )
  }
)

describe("when a connection is let go of", () => {
  const now = 1_000_000_000
  const fine = { endsAt: now + 1, heardAt: now, pingedAt: now, unreadSince: undefined, idleSince: undefined }
  const judge = (state: Partial<typeof fine> | object) => judgeConnection({ ...fine, ...state }, defaultLimits, now)

  it("a silent peer is asked every 15 seconds and given up after 45", () => {
    assert.strictEqual(judge({}), "keep")
    assert.strictEqual(judge({ heardAt: now - 15_000 }), "keep")
    assert.strictEqual(judge({ heardAt: now - 15_000, pingedAt: now - 15_000 }), "ping")
    assert.strictEqual(judge({ heardAt: now - 44_999, pingedAt: now - 14_000 }), "keep")
    assert.strictEqual(judge({ heardAt: now - 45_000 }), "gone")
    assert.strictEqual(judge({ heardAt: undefined, pingedAt: now - 60_000 }), "ping")
  })

  it("one that does not read is given up after 10 seconds, one with nothing to do after an hour, any after its age", () => {
    assert.strictEqual(judge({ unreadSince: now - 9_999 }), "keep")
    assert.strictEqual(judge({ unreadSince: now - 10_000 }), "unread")
    assert.strictEqual(judge({ idleSince: now - 3_599_999 }), "keep")
    assert.strictEqual(judge({ idleSince: now - 3_600_000 }), "idle")
    assert.strictEqual(judge({ endsAt: now }), "old")
  })

  it("one that answers no ping, after its system has acknowledged nothing for 15 seconds: within 45 of its end", () => {
    const reader = { heardAt: undefined, pingedAt: now }
    assert.strictEqual(judge({ ...reader, unacknowledgedSince: now - 14_999 }), "keep")
    assert.strictEqual(judge({ ...reader, unacknowledgedSince: now - 15_000 }), "gone")
  })
})
