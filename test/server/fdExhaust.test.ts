/** fd-exhaust: a server that may open 256 files gets 1,000 connections. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { spawnSync } from "node:child_process"
import { createConnection, type Socket } from "node:net"
import * as Topic from "../../services/events/Topic.ts"
import * as Client from "../../src/client.ts"
import { server } from "../support/CommandLine.ts"

const limit = 256
const canLimit = spawnSync("prlimit", ["--version"]).status === 0

/** Connections from ten addresses of this machine, as one may not have more than a hundred. */
const flood = (port: number, count: number): Promise<ReadonlyArray<Socket>> =>
  Promise.all(
    Array.from(
      { length: count },
      (_, index) =>
        new Promise<Socket>((resolve) => {
          const localAddress = `127.0.0.${2 + (index % 10)}`
          const wire = createConnection({ port, host: "127.0.0.1", localAddress })
          wire.on("error", () => resolve(wire)).on("connect", () => resolve(wire))
        })
    )
  )

const isWell = (url: string) =>
  fetch(`${url}/health`, { signal: AbortSignal.timeout(2_000), headers: { connection: "close" } }).then(
    ({ status }) => status === 200,
    () => false
  )

describe.skipIf(!canLimit)("fd-exhaust", () => {
  it.live("with every file taken it goes on for those it has, and takes new ones within 2 s of their release", () =>
    Effect.gen(function* () {
      const { running, url } = yield* server(undefined, {}, ["prlimit", `--nofile=${limit}`])
      const espalier = yield* Client.make({ url })
      const session = yield* espalier.StartSession({ title: "before" })
      const wires = yield* Effect.promise(() => flood(Number(new URL(url).port), 1_000))
      yield* Effect.sleep("200 millis")
      assert.isFalse(yield* Effect.promise(() => isWell(url)))
      // Who is connected notices nothing: what is acknowledged is written, also when all of it needs a new checkpoint.
      const text = "x".repeat(50_000)
      for (let n = 0; n < 20; n++) yield* espalier.SendMessage({ sessionId: session.id, text })
      // Work that needs files of its own fails as that work, and ends nothing else.
      const work = yield* espalier.RunTool({ sessionId: session.id, tool: "analyze_codebase", args: { path: "." } })
      if (!("workerId" in work)) return assert.fail("it was not handed to a worker")
      const end = yield* espalier.Subscribe({ topic: Topic.ofWorker(work.workerId), from: 1 }).pipe(
        Stream.filter((delivery) => delivery._tag === "Event"),
        Stream.filter(({ event }) => event._tag === "WorkerFailed" || event._tag === "WorkerCompleted"),
        Stream.runHead
      )
      assert.strictEqual(Option.getOrUndefined(end)?.event._tag, "WorkerFailed")
      assert.strictEqual(running.process.exitCode, null)

      for (const wire of wires) wire.destroy()
      const released = performance.now()
      while (!(yield* Effect.promise(() => isWell(url)))) {
        assert.isBelow(performance.now() - released, 2_000, running.stderr)
        yield* Effect.sleep("50 millis")
      }
      const other = yield* Client.make({ url })
      const { sequence } = yield* other.GetSession({ sessionId: session.id })
      assert.isAbove(sequence, 20)
      assert.strictEqual(running.process.exitCode, null)
    }).pipe(Effect.scoped, Effect.timeout("40 seconds"))
  )
})
