/** One client asks for a hundred times what it may have; what it gets is what it may have, and the others notice little. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { maxStreamsPerConnection } from "../../layers/gateway/Guard.ts"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import { Sessions } from "../../services/supervision/Places.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as Client from "../../src/client.ts"
import * as Server from "../../src/server/Server.ts"

const tool = (name: string, weight: "fast" | "heavy") =>
  Tool.make({
    name,
    description: "takes its time",
    parameters: Schema.Json,
    result: Schema.Null,
    weight,
    run: () => Effect.as(Effect.sleep("5 seconds"), null)
  })

const options = {
  port: 0,
  permits: 2,
  queue: 10,
  sessions: 20,
  limits: { callsPerSecond: 100 },
  tools: [tool("idle", "heavy"), tool("wait", "fast")]
}

const percentile = (values: ReadonlyArray<number>, share: number) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Infinity

/** How long calls of a client who asks for little take. */
const times = Effect.gen(function* () {
  const espalier = yield* Client.Client
  const taken: Array<number> = []
  for (let call = 0; call < 120; call++) {
    const asked = performance.now()
    yield* espalier.GetSession({ sessionId: (yield* espalier.ListSessions({ limit: 1 }))[0]?.id ?? assert.fail() })
    taken.push(performance.now() - asked)
    yield* Effect.sleep("40 millis")
  }
  return taken
})

describe("resource-abuse", () => {
  it.live("one at a hundred times its quota is refused in each thing it asks for, and does not slow the others", () =>
    Effect.gen(function* () {
      const url = yield* HttpGateway.url
      yield* Effect.gen(function* () {
        const espalier = yield* Client.Client
        yield* espalier.StartSession({})
        const before = percentile(yield* times, 0.99)

        const abuser = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, [new URL("../fixtures/abuse.ts", import.meta.url).pathname, url], {
              stdio: ["ignore", "pipe", "inherit"]
            })
          ),
          (abuser) => Effect.sync(() => abuser.kill("SIGKILL"))
        )
        let said = ""
        abuser.stdout.on("data", (data) => (said += String(data)))
        yield* Effect.promise(() => once(abuser.stdout, "data"))
        yield* Effect.sleep("3 seconds")
        const during = percentile(yield* times, 0.99)

        // No more than it may have, of anything.
        const { queued, running } = yield* (yield* WorkerPool).status
        assert.isTrue(running <= options.permits && queued <= options.queue)
        assert.isAtMost((yield* (yield* Sessions).countChildren).active, options.sessions)
        const topics = yield* (yield* EventBus).stats({ limit: 1_000 })
        assert.isAtMost(topics.flatMap(({ subscribers }) => subscribers).length, maxStreamsPerConnection)

        abuser.kill("SIGTERM")
        yield* Effect.promise(() => once(abuser, "close"))
        const counts = JSON.parse(said.slice(said.indexOf("{"))) as Readonly<Record<string, number>>
        for (const refusal of [
          "subscriptions Overloaded",
          "sessions TooManySessions",
          "workers PoolSaturated",
          "messages MailboxFull",
          "connections refused"
        ]) {
          assert.isAbove(counts[refusal] ?? 0, 0, `${refusal}: ${said}`)
        }
        // What the machine does besides shows in single calls: some milliseconds are its own.
        assert.isBelow(during, 2 * before + 50, `${during} ms against ${before} ms`)
        // And who waited is served.
        yield* espalier.PoolStatus()
      }).pipe(Effect.provide(Client.layer({ url })))
    }).pipe(Effect.scoped, Effect.provide(Server.layerMemory(options)))
  )
})
