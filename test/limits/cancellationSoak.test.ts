/**
 * Random aborts at random moments, through the whole runtime: sessions, turns, the pool, tools that hold a fiber, a
 * socket, a file, a thread or a tree of processes that ignores being asked to stop. Nothing of them may be left.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Metric, References, Schedule, Schema, type Scope, Stream } from "effect"
import { open } from "node:fs/promises"
import { createConnection, createServer, type Socket } from "node:net"
import { join } from "node:path"
import * as Thread from "../../layers/tools/Thread.ts"
import { Processes } from "../../services/processes/Processes.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Sessions, ToolExecutors } from "../../services/supervision/Places.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { makeFiberCount, openDescriptors, processesWith, threads } from "../support/leftOver.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const aborts = process.env["ESPALIER_LONG"] === undefined ? 500 : 10_000

/** Children of a child: two in its group, one in a session of its own; all of them ignore being asked to stop. */
const stubborn = `
trap '' TERM HUP INT
sh -c 'trap "" TERM; while :; do sleep 1; done' &
(sh -c 'trap "" TERM; while :; do sleep 1; done' &)
(setsid sh -c 'trap "" TERM; while :; do sleep 1; done' &)
while :; do sleep 1; done
`

/** The same numbers each time, and others in each run of the test: the seed is in its name. */
const makeRandom = (seed: number) => {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const seed = Number(process.env["ESPALIER_SEED"] ?? Math.floor(performance.timeOrigin) % 1_000_000)

const never = Effect.never as Effect.Effect<string>

/** What a tool holds while it waits to be stopped. */
const holds = (port: number, file: string, marker: string) => ({
  fibers: Effect.gen(function* () {
    yield* Effect.forkScoped(Effect.forever(Effect.sleep("5 millis")))
    yield* Effect.forEach(
      Array.from({ length: 4 }),
      () => Effect.forkChild(Effect.ensuring(Effect.never, Effect.sleep("2 millis"))),
      { discard: true }
    )
    return yield* never
  }),
  socket: Effect.andThen(
    Effect.acquireRelease(
      Effect.callback<Socket>((resume) => {
        const socket = createConnection({ port, host: "127.0.0.1" })
        socket.once("connect", () => resume(Effect.succeed(socket)))
        socket.on("error", () => undefined)
        return Effect.sync(() => socket.destroy())
      }),
      (socket) => Effect.sync(() => socket.destroy())
    ),
    never
  ),
  file: Effect.andThen(
    Effect.acquireRelease(
      Effect.promise(() => open(file, "w")),
      (handle) => Effect.promise(() => handle.close())
    ),
    never
  ),
  thread: Thread.run<string, string>({
    entry: Thread.entry("../fixtures/tools/thread-that", import.meta.url),
    input: "spins",
    heap: 64
  }),
  processes: Processes.use((processes) =>
    processes.run({ command: "sh", args: ["-c", stubborn], env: { ESPALIER_SOAK: marker } })
  ).pipe(Effect.orDie, Effect.andThen(never)),
  conversation: Effect.gen(function* () {
    const processes = yield* Processes
    const child = yield* processes.open({ command: "sh", args: ["-c", stubborn], env: { ESPALIER_SOAK: marker } })
    // Nobody reads it, so it stands still in the end.
    yield* Effect.forkScoped(Effect.forever(child.write(new Uint8Array(16 * 1024))))
    return yield* Effect.andThen(Stream.runDrain(child.stdout), never)
  }).pipe(Effect.orDie)
})

type Held = keyof ReturnType<typeof holds>
type Hold = Effect.Effect<string, Tool.ToolFailure, Processes | Scope.Scope | Tool.ToolCall>

/** How often each is picked: threads and processes cost the machine most. */
const picks: ReadonlyArray<Held> = [
  ...Array.from({ length: 8 }, (): Held => "fibers"),
  ...Array.from({ length: 5 }, (): Held => "socket"),
  ...Array.from({ length: 5 }, (): Held => "file"),
  "thread",
  "thread",
  "processes",
  "conversation"
]

const toolsThat = (held: Readonly<Record<Held, Hold>>, began: Map<string, number>) =>
  (["fast", "heavy", "brief"] as const).flatMap((kind) =>
    (Object.keys(held) as Array<Held>).map((name) =>
      Tool.make({
        name: `${kind}_${name}`,
        description: "holds something until it is stopped",
        parameters: Schema.Struct({}),
        result: Schema.String,
        weight: kind === "fast" ? "fast" : "heavy",
        // It is stopped for its silence.
        ...(kind === "brief" ? { deadline: "15 millis" } : {}),
        run: () =>
          Effect.suspend(() => {
            began.set(`${kind}_${name}`, (began.get(`${kind}_${name}`) ?? 0) + 1)
            return Effect.scoped(held[name])
          })
      })
    )
  )

describe("cancellation soak", () => {
  it.live(
    `${aborts} aborts at random moments leave no fiber, socket, file, thread or process (seed ${seed})`,
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const marker = `soak-${process.pid}-${seed}`
        const random = makeRandom(seed)
        const fibers = makeFiberCount()
        const began = new Map<string, number>()
        const sockets = new Set<Socket>()
        const server = yield* Effect.acquireRelease(
          Effect.callback<ReturnType<typeof createServer>>((resume) => {
            const server = createServer((socket) => {
              sockets.add(socket.on("error", () => undefined))
              socket.once("close", () => sockets.delete(socket))
            }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
          }),
          (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
        )
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0

        const soak = Effect.gen(function* () {
          const manager = yield* SessionManager
          const pool = yield* WorkerPool
          const sessions = yield* Sessions
          const executors = yield* ToolExecutors

          // Long enough for a worker to have begun, or not.
          const moment = Effect.suspend(() => Effect.sleep(random(2) === 0 ? random(200) : random(20)))
          const pick = () => picks[random(picks.length)] ?? "fibers"

          const abort = Effect.gen(function* () {
            const { id } = yield* manager.start({})
            switch (random(5)) {
              // A turn whose model asks for a tool is cancelled.
              case 0: {
                const kind = random(2) === 0 ? "fast" : "heavy"
                yield* manager.send({ sessionId: id, text: `/tool ${kind}_${pick()}` })
                yield* moment
                yield* Effect.ignore(manager.cancelTurn(id))
                break
              }
              // A worker is cancelled, wherever it is.
              case 1: {
                const run = yield* manager.runTool({ sessionId: id, tool: `heavy_${pick()}`, args: {} })
                yield* moment
                if ("workerId" in run) yield* Effect.ignore(pool.cancel(run.workerId, "by the test"))
                break
              }
              // A worker is stopped for its silence, while its session is there.
              case 2: {
                yield* manager.runTool({ sessionId: id, tool: `brief_${pick()}`, args: {} })
                yield* moment
                break
              }
              // Who asked goes away, and then the session.
              case 3: {
                const caller = yield* Effect.forkChild(
                  manager.runTool({ sessionId: id, tool: `fast_${pick()}`, args: {} }),
                  { startImmediately: true }
                )
                yield* moment
                yield* Fiber.interrupt(caller)
                break
              }
              // A session crashes under its work.
              default: {
                yield* manager.send({ sessionId: id, text: `/tool fast_${pick()}` })
                yield* moment
                yield* Effect.ignore(sessions.crashChild(id))
              }
            }
            yield* moment
            yield* manager.stop(id)
          }).pipe(
            // All of it is refused now and then, for there are as many workers as there may be.
            Effect.catchTag("PoolSaturated", () => Effect.sleep("20 millis"))
          )

          const isIdle = Effect.gen(function* () {
            const { queued, running } = yield* pool.status
            const { active } = yield* executors.countChildren
            return queued + running + active === 0
          })
          const settled = isIdle.pipe(
            Effect.repeat({ until: (isTrue) => isTrue, schedule: Schedule.spaced("20 millis") }),
            Effect.timeout("30 seconds"),
            Effect.orDie
          )

          /** Whatever the first aborts bring to life for good is there now. */
          yield* Effect.forEach(Array.from({ length: 30 }), () => abort, { concurrency: 8, discard: true })
          yield* settled
          yield* Effect.sleep("200 millis")
          const before = { fibers: fibers.active(), descriptors: openDescriptors(), threads: threads() }
          yield* Effect.forEach(Array.from({ length: aborts }), () => abort, { concurrency: 48, discard: true })
          yield* settled
          yield* Effect.sleep("500 millis")

          // Else nothing was proven.
          assert.isAbove(before.fibers, 10)
          const names = [...began.keys()].map((name) => name.split("_"))
          assert.strictEqual(new Set(names.map(([kind]) => kind)).size, 3)
          assert.strictEqual(new Set(names.map(([, held]) => held)).size, 6, JSON.stringify([...began]))
          assert.deepStrictEqual(processesWith(marker), [])
          assert.strictEqual(sockets.size, 0)
          assert.deepStrictEqual(openDescriptors(), before.descriptors)
          // Node keeps threads of its own for files; it never starts more than four.
          assert.isAtMost(threads(), before.threads + 4)
          assert.strictEqual((yield* sessions.countChildren).active, 0)
          assert.strictEqual(fibers.active(), before.fibers)
        })

        const beforeAll = openDescriptors()
        yield* soak.pipe(
          Effect.provide(
            Runtime.layer({
              dataDirectory: join(directory, "data"),
              permits: 32,
              queue: 64,
              tools: toolsThat(holds(port, join(directory, "file"), marker), began),
              // A tool that breaks would be left alone: here none may be.
              breakers: { failures: 1_000_000 }
            })
          ),
          Effect.provideService(Metric.FiberRuntimeMetrics, fibers.metrics),
          Effect.provideService(References.MinimumLogLevel, "None")
        )
        yield* Effect.sleep("100 millis")
        assert.deepStrictEqual(openDescriptors(), beforeAll)
        assert.strictEqual(fibers.active(), 0)
      }).pipe(Effect.scoped),
    900_000
  )
})
