/** A client of a running server (`npm start`, or ESPALIER_URL): a heavy tool is run, watched to its end, and asked for its result. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Stream } from "effect"
import { Client, layer } from "espalier/client"
import * as Topic from "espalier/services/events/Topic"
import { isTerminal } from "espalier/services/worker/WorkerEvent"

const program = Effect.gen(function* () {
  const espalier = yield* Client
  const session = yield* espalier.StartSession({ title: "from a client" })
  const run = yield* espalier.RunTool({
    sessionId: session.id,
    tool: "analyze_codebase",
    args: { path: process.cwd() }
  })
  if (!("workerId" in run)) return yield* Console.log(run.result)

  yield* espalier.Subscribe({ topic: Topic.ofWorker(run.workerId), from: 1 }).pipe(
    Stream.filter((delivery) => delivery._tag === "Event"),
    Stream.tap(({ event, sequence }) => Console.log(sequence, event._tag, "stage" in event ? event.stage : "")),
    Stream.takeUntil(({ event }) => isTerminal(event)),
    Stream.runDrain
  )
  const worker = yield* espalier.GetWorker({ workerId: run.workerId })
  yield* Console.log(`${worker.tool} ${worker.status} in ${(worker.endedAt ?? 0) - worker.queuedAt} ms`)
})

program.pipe(
  Effect.provide(layer({ url: process.env["ESPALIER_URL"] ?? "http://127.0.0.1:4747" })),
  NodeRuntime.runMain
)
