/** What clients do to a server, by ill will or by bad luck, and what it may cost: each row by its name. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync } from "node:fs"
import { createConnection, type Socket } from "node:net"
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from "node:zlib"
import { defaultLimits, judgeConnection } from "../../services/gateway/ConnectionLimits.ts"
import * as Client from "../../src/client.ts"
import { rssOf, server } from "../support/CommandLine.ts"
import { inTime as eventually } from "../support/eventually.ts"
import * as GatewayServer from "../support/GatewayServer.ts"
import * as TcpProxy from "../support/TcpProxy.ts"

const { ServerUrl, call, raw, sessionOf, socket, subscribersOf } = GatewayServer
const MiB = 1024 * 1024
const portOf = (url: string) => Number(new URL(url).port)

/** Files that this process has open; 0 where the system does not tell. */
const openFiles = () => (process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0)

const limits = { connections: 600, perAddress: 500, ping: 400, silence: 1_500, unread: 1_000 }

layer(GatewayServer.layerWith(limits), { excludeTestServices: true })("under abuse", (it) => {
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

layer(GatewayServer.layerWith({ connections: 600, perAddress: 100 }), { excludeTestServices: true })(
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
        const health = Effect.promise(async () => {
          const asked = performance.now()
          const { status } = await fetch(`${url}/health`)
          assert.strictEqual(status, 200)
          return performance.now() - asked
        })
        const refusedOf = (wires: ReadonlyArray<{ readonly said: () => string }>) => {
          const said = refusals(wires)
          return { count: said.length, last: said.at(-1) ?? "" }
        }
        const one = yield* open("127.0.0.2", 150)
        const told = refusedOf(one)
        assert.strictEqual(told.count, 50)
        assert.match(told.last, /^HTTP\/1.1 503 .*\r\n[^]*"too_many_connections".*127.0.0.2 has 100 connections/)
        const some = (yield* Effect.forEach([3, 4, 5, 6], (last) => open(`127.0.0.${last}`, 100))).flat()
        assert.strictEqual(refusedOf(some).count, 0)
        // Some send a header a little at a time, some a body.
        for (const [index, { wire }] of some.entries()) {
          if (index % 3 === 0) wire.write("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ")
          if (index % 3 === 1) {
            wire.write(
              "POST /rpc HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n["
            )
          }
        }
        const times = yield* Effect.forEach(Array.from({ length: 21 }), () => health)
        assert.isBelow(times.toSorted((a, b) => a - b)[10] ?? Infinity, 50)
        const rest = (yield* Effect.forEach([7, 8, 9, 10, 11], (last) => open(`127.0.0.${last}`, 100))).flat()
        const full = refusedOf(rest)
        assert.isAtLeast(full.count, 400)
        assert.match(full.last, /the server has 600 connections/)
        const all = [...one, ...some, ...rest]
        const lives = yield* Effect.promise(() => Promise.all(all.map(({ closed }) => closed)))
        // Nine, and the second between two looks; what is more is the machine's.
        assert.isBelow(Math.max(...lives), 12_000)
        yield* health
      })
    )
  }
)

layer(GatewayServer.layerWith({ ...limits, ping: 1_000, silence: 5_000 }), { excludeTestServices: true })(
  "in a storm",
  (it) => {
    it.effect("subscriber-storm: 250 that connect, subscribe and vanish leave nothing behind", () =>
      Effect.gen(function* () {
        const url = yield* ServerUrl
        const espalier = yield* Client.make({ url })
        const { id, topic } = yield* sessionOf(espalier, 1, 1)
        const proxy = yield* TcpProxy.make(portOf(url))
        const publish = Effect.gen(function* () {
          const before = performance.now()
          yield* espalier.SendMessage({ sessionId: id, text: "still here" })
          return performance.now() - before
        })
        const times = (count: number) => Effect.forEach(Array.from({ length: count }), () => publish)
        const p95 = (values: ReadonlyArray<number>) =>
          values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.95)]
        const files = openFiles()
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
        yield* times(20)
        const calm = p95(yield* times(100)) ?? 0
        // A fifth of them without a word: neither end nor reset comes through.
        proxy.freeze()
        for (const [index, wire] of storm.entries()) {
          wire.on("error", () => {})
          if (index % 2 === 0) wire.resetAndDestroy()
          else wire.destroy()
        }
        // While they vanish, what is published is published as fast, give or take what the machine takes for itself.
        assert.isBelow(p95(yield* times(100)) ?? Infinity, 2 * calm + 50)
        yield* eventually(
          "nobody listens",
          Effect.map(subscribersOf(espalier, topic), (count) => count === 0)
        )
        proxy.cut(true)
        yield* eventually(
          "every file is closed",
          Effect.sync(() => openFiles() <= files)
        )
      }).pipe(Effect.scoped)
    )
  }
)

describe.skipIf(process.platform !== "linux")("in a process of its own", () => {
  it.live("frame-oversize: a hundred frames of 1 to 101 MiB are refused with 1009, most of them unread", () =>
    Effect.gen(function* () {
      const { running, url } = yield* server()
      const sizes = [MiB + 1, 15 * MiB, 17 * MiB, 90 * MiB, 101 * MiB]
      const refusedIn = Effect.fnUntraced(function* (size: number) {
        const wire = yield* Effect.promise(() => GatewayServer.deaf(url, []))
        const head = Buffer.alloc(14)
        head.set([0x81, 0xff])
        head.writeBigUInt64BE(BigInt(size), 2)
        const sent = performance.now()
        const answer = yield* Effect.promise(
          () =>
            new Promise<Buffer>((resolve) => {
              wire.once("data", resolve)
              wire.resume()
              wire.write(head)
              wire.write(Buffer.alloc(64 * 1024, 0x20))
            })
        )
        assert.deepStrictEqual([answer[0], answer.readUInt16BE(2)], [0x88, 1009])
        wire.destroy()
        return performance.now() - sent
      })
      // What a server takes for its first ones is its own, once; what each one costs would be there in every hundred.
      const growth: Array<number> = []
      const times: Array<number> = []
      for (let hundred = 0; hundred < 4; hundred++) {
        const before = rssOf(running)
        for (let n = 0; n < 100; n++) times.push(yield* refusedIn(sizes[n % sizes.length] ?? MiB + 1))
        growth.push(rssOf(running) - before)
      }
      assert.isBelow(times.toSorted((a, b) => a - b)[360] ?? Infinity, 100)
      assert.isBelow(Math.min(...growth), 8 * MiB, growth.join())
    }).pipe(Effect.scoped)
  )

  it.live("decompression-bomb: nothing is inflated, neither a body nor a WebSocket message", () =>
    Effect.gen(function* () {
      const { running, url } = yield* server()
      const { host } = new URL(url)
      const zeros = Buffer.alloc(256 * MiB, 0x20)
      const gzip = gzipSync(zeros)
      const bombs = [
        ["gzip", gzip],
        ["deflate", deflateSync(zeros)],
        ["br", brotliCompressSync(zeros, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
        ["gzip, gzip", gzipSync(gzip)]
      ] as const
      const before = rssOf(running)
      for (const [encoding, body] of bombs) {
        assert.isBelow(body.length, MiB)
        const response = yield* Effect.promise(() =>
          fetch(`${url}/rpc`, {
            method: "POST",
            body,
            headers: { "content-type": "application/json", "content-encoding": encoding }
          })
        )
        assert.include(yield* Effect.promise(() => response.text()), "malformed")
      }
      assert.isBelow(rssOf(running) - before, 10 * MiB)
      const handshake = `GET /rpc/ws HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n`
      const upgrade = yield* Effect.promise(() => raw(url, handshake))
      assert.match(upgrade, /^HTTP\/1.1 101/)
      assert.notMatch(upgrade, /sec-websocket-extensions/i)
      // One that sends a compressed message all the same is told that it broke the protocol.
      const wire = yield* Effect.promise(() => GatewayServer.deaf(url, []))
      const answer = yield* Effect.promise(
        () =>
          new Promise<Buffer>((resolve) => {
            wire.once("data", resolve)
            wire.resume()
            const payload = deflateRawSync(zeros.subarray(0, 16 * MiB)).subarray(0, 60_000)
            const head = Buffer.from([0xc1, 0xfe, payload.length >> 8, payload.length & 0xff, 0, 0, 0, 0])
            wire.write(Buffer.concat([head, payload]))
          })
      )
      assert.deepStrictEqual([answer[0], answer.readUInt16BE(2)], [0x88, 1002])
      wire.destroy()
    }).pipe(Effect.scoped)
  )
})

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

  it("one that does not read is given up after 9 seconds, one with nothing to do after an hour, any after its age", () => {
    assert.strictEqual(judge({ unreadSince: now - 8_999 }), "keep")
    assert.strictEqual(judge({ unreadSince: now - 9_000 }), "unread")
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
