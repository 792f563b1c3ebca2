import { Cause, Effect, Exit, Option, Schema, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Topic from "../../services/events/Topic.ts"
import { ServerUnreachable } from "../../services/gateway/ServerUnreachable.ts"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { ToolFailure } from "../../services/tools/Tool.ts"
import { inShort, ToolDescription, ToolNotFound } from "../../services/tools/Tools.ts"
import { Priority } from "../../services/worker/Ticket.ts"
import { Worker } from "../../services/worker/Worker.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import type * as Client from "../client.ts"
import { given } from "./given.ts"
import { WorkerCancelled } from "./Failure.ts"
import * as Output from "./Output.ts"
import * as Progress from "./Progress.ts"
import { root, withClient } from "./Root.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const list = Command.make("list", {}, () =>
  withClient((espalier) =>
    Effect.flatMap(espalier.ListTools(), (tools) =>
      Output.print(Schema.Array(ToolDescription), tools, (tools) =>
        Table.render(
          tools,
          [
            { name: "TOOL", value: ({ name }) => name },
            { name: "RUNS", value: ({ pool }) => (pool === undefined ? "in the turn" : `on ${pool}`) },
            { name: "ARGUMENTS", value: ({ parameters }) => parametersOf(parameters) },
            { name: "WHAT IT DOES", value: ({ description }) => inShort(description) }
          ],
          "there are no tools"
        )
      )
    )
  )
).pipe(Command.withDescription("The tools there are"))

/** Names of the arguments in a JSON Schema, a question mark behind those that may be left out. */
const parametersOf = ({ properties, required }: ToolDescription["parameters"]): string => {
  if (typeof properties !== "object" || properties === null) return "see --json"
  const needed: ReadonlyArray<unknown> = Array.isArray(required) ? required : []
  return Object.keys(properties)
    .map((name) => (needed.includes(name) ? name : `${name}?`))
    .join(", ")
}

const parseArgs = (text: string) =>
  Effect.try({
    try: (): Schema.Json => JSON.parse(text),
    catch: (cause) =>
      new InvalidInput({
        subject: "--args",
        issues: [
          {
            path: "",
            message: `not JSON (${cause instanceof Error ? cause.message : "unreadable"}); write it like '{"path":"src"}'`
          }
        ]
      })
  })

/** A result as it is shown: its report, when it has one, otherwise indented JSON. */
const show = (result: Schema.Json): string =>
  typeof result === "object" && result !== null && "report" in result && typeof result["report"] === "string"
    ? Terminal.lines(result["report"])
    : JSON.stringify(result, null, 2)

const RunResult = Schema.Struct({ result: Schema.Json })

/** Follows a worker to its end. Interrupting it cancels the worker. */
const follow = Effect.fnUntraced(function* (espalier: Client.Operation, tool: string, workerId: WorkerId) {
  const { json } = yield* root
  const progress = yield* Progress.make(tool, json)
  yield* espalier.Subscribe({ topic: Topic.ofWorker(workerId), from: 1 }).pipe(
    Stream.filter((delivery) => delivery._tag === "Event" || delivery._tag === "Ephemeral"),
    Stream.mapEffect(({ event }): Effect.Effect<boolean, ToolFailure | WorkerCancelled> => {
      switch (event._tag) {
        case "WorkerQueued":
          return Effect.as(progress.show(0, "waiting for a free worker"), false)
        case "WorkerStarted":
          return Effect.as(progress.show(0, event.attempt > 1 ? `started again (${event.attempt})` : "started"), false)
        case "WorkerProgress":
          return Effect.as(progress.show(event.percent, event.stage), false)
        case "WorkerCompleted":
          return Effect.succeed(true)
        case "WorkerFailed":
          return Effect.fail(new ToolFailure(event.failure))
        case "WorkerCancelled":
          return Effect.fail(new WorkerCancelled({ reason: event.reason }))
        default:
          return Effect.succeed(false)
      }
    }),
    Stream.takeUntil((hasEnded) => hasEnded),
    Stream.runDrain,
    Effect.tapErrorTag("ServerUnreachable", () =>
      progress.end(`${tool} goes on when the server is back; see "espalier worker show ${workerId}"`)
    ),
    Effect.onInterrupt(() =>
      espalier.CancelWorker({ workerId }).pipe(
        Effect.andThen(progress.end(`cancelled ${workerId}`)),
        Effect.catchTag("WorkerEnded", ({ status }) => progress.end(`${workerId} had ended already (${status})`)),
        Effect.catch((error) => progress.end(`could not cancel ${workerId}: ${error.message}`)),
        Effect.timeoutOption("8 seconds")
      )
    )
  )
  const worker = yield* espalier.GetWorker({ workerId })
  yield* progress.end(
    `${tool}  done in ${Terminal.duration((worker.endedAt ?? 0) - (worker.startedAt ?? 0))}  ${Terminal.dim(workerId, "stderr")}`
  )
  return worker
}, Effect.scoped)

/** Waits until the session has taken note of its one call, so that stopping it cuts nothing off. */
const settled = (espalier: Client.Operation, sessionId: SessionId) =>
  espalier.Subscribe({ topic: Topic.ofSession(sessionId), from: 1 }).pipe(
    Stream.filter((delivery) => delivery._tag === "Event" && delivery.event._tag === "ToolCallSettled"),
    Stream.runHead,
    Effect.ignore,
    Effect.timeoutOption("5 seconds")
  )

interface Call {
  readonly sessionId: SessionId
  readonly tool: string
  readonly args: Schema.Json
  readonly priority?: number
}

/** Runs a tool and prints its result; `afterwards` comes between the end of a worker and that. */
const runIn = Effect.fnUntraced(function* (espalier: Client.Operation, call: Call, afterwards: Effect.Effect<void>) {
  const ran = yield* espalier.RunTool(call)
  yield* "result" in ran
    ? Output.print(RunResult, ran, ({ result }) => show(result))
    : Effect.flatMap(Effect.ensuring(follow(espalier, call.tool, ran.workerId), afterwards), (worker) =>
        Output.print(Worker, worker, ({ result }) => show(result ?? null))
      )
})

/** A session of its own for one run; none for a tool that is not there. */
const startFor = Effect.fnUntraced(function* (espalier: Client.Operation, tool: string) {
  const available = (yield* espalier.ListTools()).map(({ name }) => name)
  if (!available.includes(tool)) return yield* new ToolNotFound({ name: tool, available })
  return (yield* espalier.StartSession({ title: `tool run ${tool}` })).id
})

/** The server has gone: what was started goes on when it is back, so it must not be stopped then. */
const isCutOff = <A, E>(exit: Exit.Exit<A, E>): boolean =>
  Exit.isFailure(exit) &&
  Option.exists(Cause.findErrorOption(exit.cause), (error) => error instanceof ServerUnreachable)

const stop = (espalier: Client.Operation, sessionId: SessionId) =>
  espalier
    .StopSession({ sessionId, reason: "its tool run is over" })
    .pipe(Effect.ignore, Effect.timeoutOption("5 seconds"))

const run = Command.make(
  "run",
  {
    tool: Argument.String("tool").pipe(Argument.withDescription('A tool\'s name; see "espalier tool list"')),
    args: Flag.String("args").pipe(
      Flag.withDescription('Its arguments, as JSON: \'{"path":"src"}\''),
      Flag.withDefault("{}")
    ),
    session: Flag.String("session").pipe(
      Flag.withSchema(SessionId),
      Flag.withDescription("Run it in this session (default: one of its own, which ends with it)"),
      Flag.optional
    ),
    priority: Flag.Int("priority").pipe(
      Flag.withSchema(Priority),
      Flag.withDescription(
        "Its place among the session's waiting tasks, 0 to 9, 9 first (default: the tool's own, else 5)"
      ),
      Flag.optional
    )
  },
  ({ args: text, priority, session, tool }) =>
    Effect.flatMap(parseArgs(text), (args) =>
      withClient((espalier) =>
        Option.isSome(session)
          ? runIn(espalier, { sessionId: session.value, tool, args, ...given({ priority }) }, Effect.void)
          : Effect.flatMap(startFor(espalier, tool), (sessionId) =>
              runIn(espalier, { sessionId, tool, args, ...given({ priority }) }, settled(espalier, sessionId)).pipe(
                Effect.onExit((exit) => (isCutOff(exit) ? Effect.void : stop(espalier, sessionId)))
              )
            )
      )
    )
).pipe(
  Command.withDescription("Run a tool: progress on stderr, the result on stdout; Ctrl-C cancels it"),
  Command.withExamples([
    { command: `espalier tool run analyze_codebase --args '{"path":"src"}'`, description: "Analyse a codebase" },
    {
      command: `espalier tool run analyze_codebase --args '{"path":"src"}' --json | jq .status`,
      description: "For programs"
    }
  ])
)

export const tool = Command.make("tool").pipe(
  Command.withDescription("Tools: run by a model in a turn, or by you"),
  Command.withSubcommands([list, run])
)
