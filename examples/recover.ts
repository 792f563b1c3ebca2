/** Kills a server in mid-work with SIGKILL, starts it again, and looks whether anything that was acknowledged is gone. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem, Schedule, Stream } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { Client, layer } from "espalier/client"

/** Starts a server on a free port, and tells its URL and how to kill it. */
const serve = Effect.fnUntraced(function* (directory: string) {
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const child = yield* spawner.spawn(
    ChildProcess.make(process.execPath, ["src/main.ts", "--port", "0"], {
      cwd: new URL("..", import.meta.url).pathname,
      env: { ESPALIER_DATA: directory },
      extendEnv: true,
      forceKillAfter: "15 seconds"
    })
  )
  const url = yield* child.stdout.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.map((line) => /http:\/\/\S+/.exec(line)?.[0]),
    Stream.filter((found) => found !== undefined),
    Stream.runHead,
    Effect.flatMap(Effect.fromOption),
    Effect.timeout("20 seconds")
  )
  return { url, kill: child.kill({ killSignal: "SIGKILL" }) }
})

const program = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()

  const first = yield* serve(directory)
  const before = yield* Effect.gen(function* () {
    const espalier = yield* Client
    const { id } = yield* espalier.StartSession({ title: "to be killed" })
    const run = yield* espalier.RunTool({ sessionId: id, tool: "analyze_codebase", args: { path: process.cwd() } })
    const sends = Array.from({ length: 20 }, (_, index) =>
      espalier.SendMessage({ sessionId: id, text: `message ${index}` })
    )
    return { id, run, acknowledged: yield* Effect.all(sends, { concurrency: 20 }) }
  }).pipe(Effect.provide(layer({ url: first.url })))
  yield* Console.log(`${before.acknowledged.length} messages acknowledged, a worker under way: kill -9`)
  yield* first.kill

  const second = yield* serve(directory)
  yield* Effect.gen(function* () {
    const espalier = yield* Client
    const messages = yield* espalier.GetMessages({ sessionId: before.id, limit: 1000 })
    const found = messages.flatMap((message) => (message._tag === "UserMessage" ? [message.id as string] : []))
    const lost = before.acknowledged.filter(({ messageId }) => !found.includes(messageId))
    yield* Console.log(`after the restart: ${found.length} messages, ${lost.length} lost`)
    if (!("workerId" in before.run)) return
    const worker = yield* espalier
      .GetWorker({ workerId: before.run.workerId })
      .pipe(
        Effect.repeat({ schedule: Schedule.spaced("200 millis"), until: ({ status }) => status === "completed" }),
        Effect.timeout("2 minutes")
      )
    yield* Console.log(`the worker ${worker.status}, started ${worker.attempt} times`)
    if (lost.length > 0) return yield* Effect.die(new Error("acknowledged messages were lost"))
  }).pipe(Effect.provide(layer({ url: second.url })))
})

program.pipe(Effect.scoped, Effect.provide(NodeServices.layer), NodeRuntime.runMain)
