/** Floods of calls and of bytes, at a size that would hurt: each row by its name. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import type { IncomingMessage } from "node:http"
import { createConnection, type Socket } from "node:net"
import { maxCallsPerPrincipal } from "../../layers/gateway/Gate.ts"
import { maxCallsPerConnection } from "../../layers/gateway/Guard.ts"
import { secret } from "../support/FakeRuntime.ts"
import * as GatewayServer from "../support/GatewayServer.ts"

const { ServerUrl, logged, socket } = GatewayServer
const MiB = 1024 * 1024
const isLong = process.env["ESPALIER_LONG"] !== undefined
const call = (id: number, tag: string, payload: unknown = null) => ({ _tag: "Request", id, tag, payload, headers: [] })
const slow = (id: number) => call(id, "GetSession", { sessionId: "ses_slow" })
const percentile = (values: ReadonlyArray<number>, share: number) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Infinity

type Client = Awaited<ReturnType<typeof socket>>

/** How long so many calls take, one after the other. */
const timesOf = async ({ next, received, send }: Client, from: number, count: number) => {
  const times: Array<number> = []
  for (let id = from; id < from + count; id++) {
    const asked = performance.now()
    send(call(id, "PoolStatus"))
    await next(({ requestId }) => requestId === id)
    times.push(performance.now() - asked)
    received.length = 0
  }
  return times
}

layer(GatewayServer.layer, { excludeTestServices: true })("in-flight-flood", (it) => {
  const flood = isLong ? 50_000 : 2_500

  it.effect(
    `of ${flood} calls on one connection 256 are taken, the rest refused at once, and others not disturbed`,
    () =>
      Effect.gen(function* () {
        const url = yield* ServerUrl
        const flooder = yield* Effect.promise(() => socket(url))
        const bystander = yield* Effect.promise(() => socket(url))
        yield* Effect.promise(() => timesOf(bystander, 1, 200))
        for (let id = 1; id <= maxCallsPerConnection; id++) flooder.send(slow(id))
        // Taken in turns, so that whatever else the machine does is in both.
        const calm: Array<number> = []
        const during: Array<number> = []
        const refusals: Array<number> = []
        const slice = 25
        let refused = 0
        for (let id = maxCallsPerConnection + 1; id <= flood; id += slice) {
          const last = Math.min(id + slice - 1, flood)
          calm.push(...(yield* Effect.promise(() => timesOf(bystander, id * 10, 4))))
          const sent = performance.now()
          for (let one = id; one <= last; one++) flooder.send(slow(one))
          const others = timesOf(bystander, id * 10 + 5, 4)
          yield* Effect.promise(() => flooder.next(({ requestId }) => requestId === last))
          refusals.push(performance.now() - sent)
          during.push(...(yield* Effect.promise(() => others)))
          assert.isTrue(flooder.received.every((frame) => JSON.stringify(frame.exit).includes(`"Overloaded"`)))
          refused += flooder.received.length
          flooder.received.length = 0
        }
        assert.strictEqual(refused, flood - maxCallsPerConnection)
        // A slice of refusals takes that long together, client and server in one process.
        assert.isBelow(percentile(refusals, 0.5), 10)
        // What the machine does besides shows in single calls: some milliseconds are its own.
        assert.isBelow(percentile(during, 0.95), 2 * percentile(calm, 0.95) + 20)

        flooder.send({ _tag: "Interrupt", requestId: 1 })
        yield* Effect.promise(() => flooder.next(({ requestId }) => requestId === 1))
        flooder.send(call(flood + 1, "PoolStatus"))
        const answer = yield* Effect.promise(() => flooder.next(({ requestId }) => requestId === flood + 1))
        assert.include(JSON.stringify(answer), "permits")
        flooder.ws.close()
        bystander.ws.close()
      })
  )

  it.effect("a principal has 1,024 calls under way, however many connections it spreads them over", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const count = maxCallsPerPrincipal / maxCallsPerConnection
      // Those of the test before may still be on their way out.
      yield* Effect.sleep("100 millis")
      const full = yield* Effect.promise(() => Promise.all(Array.from({ length: count }, () => socket(url))))
      for (const { send } of full) for (let id = 1; id <= maxCallsPerConnection; id++) send(slow(id))
      yield* Effect.sleep("300 millis")
      assert.isTrue(full.every(({ received }) => received.length === 0))
      const more = yield* Effect.promise(() => socket(url))
      more.send(call(1, "PoolStatus"))
      const refusal = yield* Effect.promise(() => more.next(({ requestId }) => requestId === 1))
      assert.include(JSON.stringify(refusal), `"Overloaded"`)
      assert.include(JSON.stringify(refusal), `${maxCallsPerPrincipal}`)
      const overHttp = yield* Effect.promise(() =>
        fetch(`${url}/rpc`, {
          method: "POST",
          body: JSON.stringify(call(1, "PoolStatus")),
          headers: { "content-type": "application/x-ndjson" }
        }).then((response) => response.text())
      )
      assert.include(overHttp, `"Overloaded"`)
      // Subscriptions wait for nothing, and are not counted.
      more.send(call(2, "Subscribe", { topic: "system:health" }))
      full[0]?.ws.close()
      yield* Effect.sleep("200 millis")
      more.send(call(3, "PoolStatus"))
      const answer = yield* Effect.promise(() => more.next(({ requestId }) => requestId === 3))
      assert.include(JSON.stringify(answer), "permits")
      assert.isUndefined(more.received.find(({ requestId }) => requestId === 2))
      for (const { ws } of [...full, more]) ws.close()
    })
  )

  it.effect(
    "defect-blast: one handler breaks while 100 calls are under way: that call ends, with an id and no more",
    () =>
      Effect.gen(function* () {
        const url = yield* ServerUrl
        const { next, received, send, ws } = yield* Effect.promise(() => socket(url))
        for (let id = 1; id <= 100; id++) send(slow(id))
        for (let id = 101; id <= 110; id++) {
          send(call(id, "GetSession", { sessionId: "ses_broken" }))
          const text = JSON.stringify(yield* Effect.promise(() => next(({ requestId }) => requestId === id)))
          const [errorId = "none"] = /err_\w+/.exec(text) ?? []
          assert.isTrue(logged.some((line) => line.includes(errorId)))
          assert.notInclude(text, secret)
          assert.notMatch(text, /stack|\.ts|Error:|node_modules/)
        }
        assert.strictEqual(received.length, 10)
        // Each of the hundred is still there: it can be interrupted, once.
        for (let id = 1; id <= 100; id++) send({ _tag: "Interrupt", requestId: id })
        for (let id = 1; id <= 100; id++) yield* Effect.promise(() => next(({ requestId }) => requestId === id))
        assert.strictEqual(received.length, 110)
        ws.close()
      })
  )
})

layer(GatewayServer.layer, { excludeTestServices: true })("body-limits", (it) => {
  /** What the server has read of each request, on its side of the connection. */
  const watchingReads = Effect.acquireRelease(
    Effect.sync(() => {
      const sockets: Array<Socket> = []
      const watch = (message: unknown) => {
        sockets.push((message as { readonly request: IncomingMessage }).request.socket)
      }
      subscribe("http.server.request.start", watch)
      return { watch, bytesRead: () => Math.max(0, ...sockets.map(({ bytesRead }) => bytesRead)) }
    }),
    ({ watch }) => Effect.sync(() => void unsubscribe("http.server.request.start", watch))
  )

  /** Sends a head and then as much as it is let, up to `size`; ends with what was answered. */
  const post = (url: string, head: string, size: number, wrap: (chunk: Buffer) => Buffer) =>
    Effect.promise(
      () =>
        new Promise<{ readonly answer: string; readonly sent: number; readonly took: number }>((resolve) => {
          const chunk = wrap(Buffer.alloc(64 * 1024, 0x20))
          const from = performance.now()
          let answer = ""
          let sent = 0
          const wire = createConnection({ port: Number(new URL(url).port), host: "127.0.0.1" })
          const pump = () => {
            while (sent < size && !wire.destroyed) {
              sent += chunk.length
              if (!wire.write(chunk)) return
            }
          }
          wire.on("connect", () => {
            wire.write(`POST /rpc HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-ndjson\r\n${head}\r\n\r\n`)
            pump()
          })
          wire.on("drain", pump).on("error", () => {})
          wire.on("data", (data) => (answer += data.toString()))
          wire.on("close", () => resolve({ answer, sent, took: performance.now() - from }))
        })
    )
  const chunked = (chunk: Buffer) =>
    Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n")])

  for (const [name, head, size, wrap] of [
    ["300 MiB with its length told", `content-length: ${300 * MiB}`, 300 * MiB, (chunk: Buffer) => chunk],
    ["300 MiB in chunks", "transfer-encoding: chunked", 300 * MiB, chunked],
    ["a length of 300 MiB and 64 KiB of it", `content-length: ${300 * MiB}`, 1, (chunk: Buffer) => chunk],
    ["one byte more than there may be", `content-length: ${MiB + 1}`, 2 * MiB, (chunk: Buffer) => chunk]
  ] as const) {
    it.effect(`${name}: 413 after at most 1 MiB was read`, () =>
      Effect.gen(function* () {
        const url = yield* ServerUrl
        const { bytesRead } = yield* watchingReads
        const { answer, sent } = yield* post(url, head, size, wrap)
        assert.match(answer, /^HTTP\/1.1 413/)
        // With the head, and the reads of 64 KiB that were under way when it was enough.
        assert.isAtMost(bytesRead(), MiB + 200 * 1024)
        assert.isBelow(sent, 32 * MiB)
      }).pipe(Effect.scoped)
    )
  }

  it.effect(
    "a length of 10 bytes with 300 MiB behind it: what was said is read, and the rest ends the connection",
    () =>
      Effect.gen(function* () {
        const url = yield* ServerUrl
        const { bytesRead } = yield* watchingReads
        const { answer } = yield* post(url, "content-length: 10", 300 * MiB, (chunk) => chunk)
        assert.notMatch(answer, /permits/)
        assert.isAtMost(bytesRead(), MiB + 200 * 1024)
      }).pipe(Effect.scoped)
  )
})
