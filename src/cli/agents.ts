import { Clock, Effect, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { Agent } from "../../services/registry/Agent.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { given } from "./given.ts"
import * as Output from "./Output.ts"
import { withClient } from "./Root.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const text = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.optional)

export const agents = Command.make(
  "agents",
  {
    session: Flag.String("session").pipe(
      Flag.withSchema(SessionId),
      Flag.withDescription("Of this session"),
      Flag.optional
    ),
    role: text("role", "With this role"),
    tag: text("tag", "With this tag"),
    capability: text("capability", "With this capability"),
    limit: Flag.Int("limit").pipe(Flag.withDescription("At most this many"), Flag.withDefault(100))
  },
  ({ limit, ...query }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const found = yield* espalier.FindAgents({ limit, ...given(query) })
        const now = yield* Clock.currentTimeMillis
        yield* Output.print(Schema.Array(Agent), found, (agents) =>
          Table.render(
            agents,
            [
              { name: "SESSION", value: ({ key }) => key.session },
              { name: "ROLE", value: ({ key }) => `${key.role}/${key.index}` },
              { name: "STATUS", value: ({ status }) => status },
              { name: "ALIVE", value: ({ registeredAt }) => Terminal.duration(now - registeredAt), align: "right" },
              { name: "TAGS", value: ({ tags }) => tags.join(", ") },
              { name: "CAPABILITIES", value: ({ capabilities }) => capabilities.join(", ") }
            ],
            'no agent is alive; "espalier session start" starts one'
          )
        )
      })
    )
).pipe(Command.withDescription("Who is alive: sessions' agents and workers"))
