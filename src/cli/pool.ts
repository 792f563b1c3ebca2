import { Command } from "effect/cli"
import { PoolStatus } from "../../services/worker/WorkerPool.ts"
import * as Output from "./Output.ts"
import { withClient } from "./Root.ts"
import { Effect } from "effect"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const status = Command.make("status", {}, () =>
  withClient((espalier) =>
    Effect.flatMap(espalier.PoolStatus(), (status) =>
      Output.print(
        PoolStatus,
        status,
        ({ cancelled, capacity, completed, failed, patience, permits, queued, refused, running }) =>
          Table.facts([
            ["running", `${running} of ${permits}`],
            ["queued", `${queued} of ${capacity}, each for at most ${Terminal.duration(patience)}`],
            ["completed", String(completed)],
            ["failed", String(failed)],
            ["cancelled", String(cancelled)],
            ["refused", String(refused)]
          ])
      )
    )
  )
).pipe(Command.withDescription("What the pool runs, and what waits"))

export const pool = Command.make("pool").pipe(
  Command.withDescription("The pool that heavy tools run on"),
  Command.withSubcommands([status])
)
