import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { root } from "./Root.ts"
import { Signals } from "./Signals.ts"

export const serve = Command.make(
  "serve",
  {
    port: Flag.Int("port").pipe(
      Flag.withDescription("Port to listen on; 0 takes one that is free (default ESPALIER_PORT, or 4747)"),
      Flag.optional
    )
  },
  ({ port }) =>
    Effect.gen(function* () {
      const { data, json, mcpConfig } = yield* root
      const signals = yield* Signals
      const { serve } = yield* Effect.promise(() => import("../server/serve.ts"))
      yield* serve(
        {
          port: Option.getOrUndefined(port),
          dataDirectory: Option.getOrUndefined(data),
          mcpConfig: Option.getOrUndefined(mcpConfig),
          json
        },
        signals.first
      )
    })
).pipe(Command.withDescription("Run a server in this terminal, until Ctrl-C"))
