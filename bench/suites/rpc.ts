/** One call over a WebSocket: what it costs the server's process in CPU, beside tRPC and a bare `ws` echo. */
import { createTRPCClient, createWSClient, wsLink } from "@trpc/client"
import { Effect, Queue, Stream } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { Client, layer } from "espalier/client"
import type { Figure } from "../Figure.ts"
import type { router } from "../servers/trpc.ts"

const CALLS = 20_000
const CONCURRENCY = 64

/**
 * Starts a server and measures microseconds of its CPU for each of the calls that `calls` makes, warmed up; with an
 * answer that it gave.
 */
const cpuPerCall = <A, E, R>(
  name: string,
  calls: (port: number) => Effect.Effect<A, E, R>,
  args: ReadonlyArray<string> = []
) =>
  Effect.gen(function* () {
    const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
    const questions = yield* Queue.bounded<string>(4)
    const child = yield* spawner.spawn(
      ChildProcess.make(
        process.execPath,
        ["--conditions=espalier-source", new URL(`../servers/${name}.ts`, import.meta.url).pathname, ...args],
        { stdin: Stream.encodeText(Stream.fromQueue(questions)), stderr: "inherit", forceKillAfter: "1 second" }
      )
    )
    const answers = yield* Queue.bounded<number>(4)
    yield* child.stdout.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.runForEach((line) => Queue.offer(answers, Number(line))),
      Effect.forkScoped
    )
    const port = yield* Queue.take(answers)
    const cpu = Effect.andThen(Queue.offer(questions, "\n"), Queue.take(answers))
    const answer = yield* calls(port)
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < 3; round++) {
      const before = yield* cpu
      yield* calls(port)
      best = Math.min(best, ((yield* cpu) - before) / CALLS)
    }
    return { best, answer }
  }).pipe(Effect.scoped, Effect.timeout("2 minutes"))

const ours = (port: number) =>
  Effect.gen(function* () {
    const espalier = yield* Client
    yield* Effect.forEach(Array.from({ length: CALLS }), () => espalier.PoolStatus(undefined), {
      concurrency: CONCURRENCY,
      discard: true
    })
    return yield* espalier.PoolStatus(undefined)
  }).pipe(Effect.provide(layer({ url: `http://127.0.0.1:${port}` })))

const trpc = (port: number) =>
  Effect.acquireUseRelease(
    Effect.sync(() => createWSClient({ url: `ws://127.0.0.1:${port}` })),
    (client) => {
      const proxy = createTRPCClient<typeof router>({ links: [wsLink({ client })] })
      return Effect.forEach(Array.from({ length: CALLS }), () => Effect.promise(() => proxy.status.query()), {
        concurrency: CONCURRENCY,
        discard: true
      })
    },
    (client) => Effect.promise(() => client.close())
  )

const echo = (port: number) =>
  Effect.callback<void>((resume) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`)
    let sent = 0
    let left = CALLS
    const send = () => socket.send(JSON.stringify({ id: sent++ }))
    socket.addEventListener("open", () => {
      for (let index = 0; index < CONCURRENCY; index++) send()
    })
    socket.addEventListener("message", () => {
      left--
      if (sent < CALLS) send()
      if (left === 0) resume(Effect.void)
    })
    return Effect.sync(() => socket.close())
  }).pipe(Effect.timeout("1 minute"))

export const suite = Effect.gen(function* () {
  const { answer, best: value } = yield* cpuPerCall("espalier", ours)
  const same = [JSON.stringify(answer)]
  const figures: ReadonlyArray<Figure> = [
    {
      name: "RPC call over WebSocket, CPU of the server",
      unit: "µs",
      value,
      baseline: { name: "tRPC", value: (yield* cpuPerCall("trpc", trpc, same)).best },
      bar: "<= 1"
    },
    {
      name: "the same, beside a bare echo",
      unit: "µs",
      value,
      baseline: { name: "ws echo", value: (yield* cpuPerCall("echo", echo, same)).best }
    }
  ]
  return figures
})
