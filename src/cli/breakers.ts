import { Effect, Schema } from "effect"
import { Command } from "effect/cli"
import { BreakerStatus } from "../../services/limits/Breakers.ts"
import * as Output from "./Output.ts"
import { withClient } from "./Root.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

export const breakers = Command.make("breakers", {}, () =>
  withClient((espalier) =>
    Effect.flatMap(espalier.ListBreakers(), (breakers) =>
      Output.print(Schema.Array(BreakerStatus), breakers, (breakers) =>
        Table.render(
          breakers,
          [
            { name: "NAME", value: ({ name }) => name },
            { name: "STATE", value: ({ state }) => state.replace("_", "-") },
            { name: "FAILURES", value: ({ failures }) => String(failures), align: "right" },
            { name: "REFUSED", value: ({ refused }) => String(refused), align: "right" },
            {
              name: "RETRY IN",
              value: ({ retryAfter }) => (retryAfter === 0 ? "" : Terminal.duration(retryAfter)),
              align: "right"
            }
          ],
          "nothing was called yet that a breaker watches over"
        )
      )
    )
  )
).pipe(Command.withDescription("Circuit breakers: which dependencies fail, and are left alone for a while"))
