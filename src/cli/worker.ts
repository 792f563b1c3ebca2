import { Clock, Effect, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { SessionId } from "../../services/session/SessionId.ts"
import { Worker, type WorkerSummary, WorkerStatus, WorkerSummary as Summary } from "../../services/worker/Worker.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"
import { given } from "./given.ts"
import * as Output from "./Output.ts"
import { withClient } from "./Root.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const workerId = Argument.String("worker").pipe(
  Argument.withSchema(WorkerId),
  Argument.withDescription('A worker\'s id; see "espalier worker list"')
)

const styleOf = (text: string, { status }: WorkerSummary): string =>
  status === "completed" ? Terminal.green(text) : status === "failed" ? Terminal.red(text) : Terminal.yellow(text)

const took = ({ endedAt, queuedAt, startedAt }: WorkerSummary, now: number): string =>
  Terminal.duration((endedAt ?? now) - (startedAt ?? queuedAt))

const list = Command.make(
  "list",
  {
    sessionId: Flag.String("session").pipe(
      Flag.withSchema(SessionId),
      Flag.withDescription("Of this session"),
      Flag.optional
    ),
    status: Flag.Literals("status", WorkerStatus.literals).pipe(Flag.withDescription("In this state"), Flag.optional),
    before: Flag.String("before").pipe(
      Flag.withSchema(WorkerId),
      Flag.withDescription("Older than this one: the last of the page before"),
      Flag.optional
    ),
    limit: Flag.Int("limit").pipe(Flag.withDescription("At most this many"), Flag.withDefault(50))
  },
  ({ limit, ...query }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const workers = yield* espalier.ListWorkers({ limit, ...given(query) })
        const now = yield* Clock.currentTimeMillis
        yield* Output.print(Schema.Array(Summary), workers, (workers) =>
          Table.render(
            workers,
            [
              { name: "WORKER", value: ({ id }) => id },
              { name: "TOOL", value: ({ tool }) => tool },
              { name: "STATUS", value: ({ status }) => status, style: styleOf },
              { name: "DONE", value: ({ percent }) => `${Math.round(percent)} %`, align: "right" },
              { name: "TOOK", value: (worker) => took(worker, now), align: "right" },
              { name: "AGE", value: ({ queuedAt }) => Terminal.duration(now - queuedAt), align: "right" },
              { name: "STAGE", value: ({ failure, stage }) => failure?.message ?? stage }
            ],
            'no workers yet; "espalier tool run" starts one'
          )
        )
      })
    )
).pipe(Command.withDescription("Workers, newest first"))

const show = Command.make("show", { workerId }, ({ workerId }) =>
  withClient((espalier) =>
    Effect.gen(function* () {
      const worker = yield* espalier.GetWorker({ workerId })
      const now = yield* Clock.currentTimeMillis
      yield* Output.print(Worker, worker, (worker) =>
        Table.facts([
          ["worker", worker.id],
          ["session", worker.sessionId],
          ["tool", worker.tool],
          ["arguments", JSON.stringify(worker.args)],
          ["status", worker.status],
          ["pool", `${worker.pool}, with priority ${worker.priority}`],
          ["progress", `${Math.round(worker.percent)} %  ${worker.stage}`.trim()],
          ["took", took(worker, now)],
          ["attempts", worker.attempt > 1 ? String(worker.attempt) : undefined],
          [
            "deadline",
            `${Terminal.duration(worker.limits.deadline)} of silence, ${Terminal.duration(worker.limits.hardCap)} in all`
          ],
          ["failure", worker.failure === undefined ? undefined : `${worker.failure.code}: ${worker.failure.message}`],
          ["result", worker.result === undefined ? undefined : Terminal.fit(JSON.stringify(worker.result), 400)]
        ])
      )
    })
  )
).pipe(Command.withDescription("One worker: its arguments, progress and result"))

const cancel = Command.make("cancel", { workerId }, ({ workerId }) =>
  withClient((espalier) =>
    Effect.andThen(
      espalier.CancelWorker({ workerId }),
      Output.print(Schema.Struct({ cancelled: WorkerId }), { cancelled: workerId }, () => `cancelled ${workerId}`)
    )
  )
).pipe(Command.withDescription("Cancel a worker, queued or running"))

export const worker = Command.make("worker").pipe(
  Command.withDescription("Workers: runs of heavy tools"),
  Command.withSubcommands([list, show, cancel])
)
