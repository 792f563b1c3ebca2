/** dead-peer: one that vanishes behind a network that has gone, while it reads server-sent events. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { createConnection, createServer, type AddressInfo, type Socket } from "node:net"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import * as SendQueues from "../../layers/gateway/SendQueues.ts"
import * as Topic from "../../services/events/Topic.ts"
import * as Client from "../../src/client.ts"
import { inTime } from "../support/eventually.ts"
import * as FakeRuntime from "../support/FakeRuntime.ts"

const name = `esp${process.pid % 100_000}`
const here = "10.213.77.1"
const there = "10.213.77.2"
const ip = (...args: ReadonlyArray<string>) => execFileSync("ip", args, { stdio: "ignore" })

/** A network of one cable between this machine and a name space that stands for another. */
const cable = Effect.acquireRelease(
  Effect.sync(() => {
    ip("netns", "add", name)
    ip("link", "add", `${name}a`, "type", "veth", "peer", "name", `${name}b`, "netns", name)
    ip("addr", "add", `${here}/30`, "dev", `${name}a`)
    ip("link", "set", `${name}a`, "up")
    ip("netns", "exec", name, "ip", "addr", "add", `${there}/30`, "dev", `${name}b`)
    ip("netns", "exec", name, "ip", "link", "set", `${name}b`, "up")
  }),
  () =>
    Effect.sync(() => {
      // The other end goes with this one; the name space alone would stay for as long as a socket lingers in it.
      spawnSync("ip", ["link", "del", `${name}a`])
      spawnSync("ip", ["netns", "del", name])
    })
)
const canCable =
  spawnSync("ip", ["netns", "add", `${name}x`]).status === 0 &&
  spawnSync("ip", ["netns", "del", `${name}x`]).status === 0

const limits = { ping: 300, silence: 1_500 }

describe("dead-peer", () => {
  it.live.skipIf(!canCable)(
    "a reader of server-sent events whose network is gone is let go of; its neighbour stays",
    () =>
      Effect.gen(function* () {
        yield* cable
        yield* Effect.gen(function* () {
          const port = Number(new URL(yield* HttpGateway.url).port)
          const url = `http://${here}:${port}`
          const espalier = yield* Client.make({ url })
          const { id } = yield* espalier.StartSession({ title: "" })
          const path = `${url}/events/${Topic.ofSession(id)}`
          const script = `const r = await fetch(${JSON.stringify(path)}); for await (const c of r.body) process.stdout.write(c)`
          const far = yield* Effect.acquireRelease(
            Effect.sync(() =>
              spawn("ip", ["netns", "exec", name, process.execPath, "--input-type=module", "-e", script])
            ),
            (child) => Effect.sync(() => child.kill("SIGKILL"))
          )
          yield* Effect.promise(() => once(far.stdout, "data"))
          const near = new AbortController()
          // Held on to: an answer that nobody refers to is hung up on when it is collected.
          const answer = yield* Effect.promise(() => fetch(path, { signal: near.signal }))
          const count = Effect.map(espalier.TopicStats({ limit: 1 }), (topics) =>
            topics.reduce((sum, { subscribers }) => sum + subscribers, 0)
          )
          yield* Effect.sleep(2 * limits.silence)
          assert.strictEqual(yield* count, 2)

          ip("link", "set", `${name}a`, "down")
          const gone = performance.now()
          yield* inTime(
            "one is left",
            Effect.map(count, (left) => left === 1)
          )
          // All in all three times as long as a heartbeat takes, and the time to look.
          assert.isBelow(performance.now() - gone, 3 * limits.silence)
          yield* Effect.sleep(2 * limits.silence)
          assert.strictEqual(yield* count, 1)
          assert.isFalse(answer.bodyUsed)
          near.abort()
        }).pipe(
          Effect.provide(
            HttpGateway.layer({ host: here, hosts: [here], port: 0, version: "", limits }).pipe(
              Layer.provide(FakeRuntime.layer)
            )
          )
        )
      }).pipe(Effect.scoped, Effect.timeout("30 seconds"))
  )

  it.live.skipIf(process.platform !== "linux")("the system tells what a peer has not acknowledged", () =>
    Effect.gen(function* () {
      const accepted: Array<Socket> = []
      const server = createServer((socket) => accepted.push(socket))
      yield* Effect.promise(() => new Promise<void>((done) => server.listen(0, "::", done)))
      const { port } = server.address() as AddressInfo
      const deaf = ["127.0.0.1", "::1"].map((host) => createConnection({ port, host }).pause())
      yield* inTime(
        "both are there",
        Effect.sync(() => accepted.length === 2)
      )
      for (const socket of accepted) socket.on("error", () => {}).write(Buffer.alloc(32 * 1024 * 1024))
      yield* Effect.sleep("200 millis")
      const queues = yield* SendQueues.read
      for (const socket of accepted) assert.isAbove(SendQueues.heldFor(queues, socket), 0, socket.remoteAddress)
      for (const socket of [...accepted, ...deaf]) socket.destroy()
      server.close()
    })
  )
})
