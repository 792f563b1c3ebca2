import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as GatewayServer from "../support/GatewayServer.ts"

/** A small generator with a seed, so that a failure can be run again (mulberry32). */
const generator = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const tags = ["Request", "Ack", "Interrupt", "Ping", "Eof", "Chunk", "Exit", "Defect", "", "__proto__", null, 7]
const operations = [
  "PoolStatus",
  "StartSession",
  "SendMessage",
  "Subscribe",
  "GetAgent",
  "toString",
  "constructor",
  "__proto__",
  "",
  3,
  null
]
const values: ReadonlyArray<unknown> = [
  null,
  0,
  -1,
  1.5,
  1e308,
  "",
  "ses_x",
  "wrk_1",
  "session:ses_x",
  "\u0000\ud800",
  "a".repeat(5000),
  [],
  {},
  [[[[]]]],
  { __proto__: { polluted: true } },
  { sessionId: "ses_x" },
  { topic: "system:agents", from: 1 },
  { key: { session: "ses_x" } }
]

const FRAMES = process.env["ESPALIER_LONG"] === undefined ? 50_000 : 1_000_000

layer(GatewayServer.layer, { excludeTestServices: true })("frame-malformed", (it) => {
  it.effect(
    `${FRAMES} mutated frames end no process, hang nothing and touch no other connection`,
    () =>
      Effect.gen(function* () {
        const url = yield* GatewayServer.ServerUrl
        const seed = Number(process.env["FUZZ_SEED"] ?? 20_261)
        const random = generator(seed)
        const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(random() * from.length)] as A
        const frame = (): string => {
          const json = JSON.stringify({
            _tag: random() < 0.7 ? "Request" : pick(tags),
            id: random() < 0.8 ? Math.floor(random() * 50) : pick(values),
            requestId: random() < 0.8 ? Math.floor(random() * 50) : pick(values),
            tag: random() < 0.7 ? pick(operations.slice(0, 5)) : pick(operations),
            payload: pick(values),
            headers: pick([[], null, 7, [["a", "b"]], [[null]]])
          })
          const at = Math.floor(random() * json.length)
          switch (Math.floor(random() * 8)) {
            case 0:
              return json.slice(0, at)
            case 1:
              return json.slice(0, at) + String.fromCharCode(Math.floor(random() * 65_536)) + json.slice(at + 1)
            case 2:
              return `${json}\n${json}`
            case 3:
              return json.replace("{", `{"__proto__":{"polluted":1},`)
            default:
              return json
          }
        }

        const bystander = yield* Effect.promise(() => GatewayServer.socket(url))
        bystander.send({
          _tag: "Request",
          id: "waits",
          tag: "GetSession",
          payload: { sessionId: "ses_slow" },
          headers: []
        })
        let fuzzer = yield* Effect.promise(() => GatewayServer.socket(url))
        let connections = 1
        for (let sent = 0; sent < FRAMES; sent++) {
          if (fuzzer.ws.readyState !== WebSocket.OPEN) {
            fuzzer = yield* Effect.promise(() => GatewayServer.socket(url))
            connections++
          }
          fuzzer.send(frame())
          if (sent % 25 === 0) yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve)))
          if (sent % 500 === 0) {
            const before = performance.now()
            bystander.send({ _tag: "Request", id: sent, tag: "PoolStatus", payload: null, headers: [] })
            yield* Effect.promise(() => bystander.next(({ requestId }) => requestId === sent))
            assert.isBelow(performance.now() - before, 1_000, `seed ${seed}`)
          }
        }
        fuzzer.ws.close()
        for (let sent = 0; sent < 300; sent++) {
          const response = yield* Effect.promise(() =>
            fetch(`${url}/rpc`, {
              method: "POST",
              body: frame(),
              headers: { "content-type": "application/x-ndjson" },
              signal: AbortSignal.timeout(20)
            }).catch(() => undefined)
          )
          if (response !== undefined) assert.include([200, 413], response.status, `seed ${seed}`)
        }
        assert.isAbove(connections, 10)
        assert.isUndefined(bystander.received.find(({ requestId }) => requestId === "waits"))
        assert.isUndefined(bystander.received.find(({ defect }) => defect !== undefined))
        assert.isFalse(GatewayServer.logged.some((line) => line.includes("BUG")))
        assert.isUndefined(Reflect.get({}, "polluted"))
        bystander.ws.close()
      }),
    1_200_000
  )
})
