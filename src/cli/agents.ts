import { Clock, Console, Effect, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { Agent, isAvailable, nameOf } from "../../services/registry/Agent.ts"
import { AgentChange } from "../../services/registry/AgentChange.ts"
import { agentOrders } from "../../services/registry/AgentQuery.ts"
import type * as Client from "../client.ts"
import { agentFlags } from "./agentFlags.ts"
import { send } from "./agentMessages.ts"
import { given } from "./given.ts"
import * as LiveText from "./LiveText.ts"
import * as Output from "./Output.ts"
import { root, withClient } from "./Root.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const table = (agents: ReadonlyArray<Agent>, now: number): string =>
  Table.render(
    agents,
    [
      { name: "SESSION", value: ({ key }) => key.session },
      { name: "ROLE", value: ({ key }) => `${key.role}/${key.index}` },
      {
        name: "STATUS",
        value: ({ status }) => status,
        style: (text, agent) => (isAvailable(agent) ? Terminal.green(text) : Terminal.yellow(text))
      },
      {
        name: "LOAD",
        value: ({ connections, load }) => (connections === 0 ? String(load) : `${load} + ${connections}`),
        align: "right"
      },
      {
        name: "ALIVE",
        value: ({ registeredAt }) => Terminal.duration(Math.max(0, now - registeredAt)),
        align: "right"
      },
      { name: "TAGS", value: ({ tags }) => tags.join(", ") },
      { name: "CAPABILITIES", value: ({ capabilities }) => capabilities.join(", ") }
    ],
    'no agent fits; "espalier session start" starts one'
  )

const text = (agents: ReadonlyArray<Agent>) => Effect.map(Clock.currentTimeMillis, (now) => table(agents, now))

type Query = Parameters<Client.Operation["WatchAgents"]>[0]

/** One line a change: of JSON, or with who it is about. */
const follow = Effect.fnUntraced(function* (espalier: Client.Operation, query: Query) {
  const { json } = yield* root
  const encode = Schema.encodeEffect(Schema.toCodecJson(AgentChange))
  const say = (change: AgentChange) => {
    if (change._tag === "Snapshot") return text(change.agents)
    if (change._tag === "AgentRemoved") return Effect.succeed(`- ${nameOf(change.key)}`)
    const { agent } = change
    const sign = change._tag === "AgentAdded" ? "+" : "~"
    return Effect.succeed(`${sign} ${nameOf(agent.key)}  ${agent.status}  load ${agent.load + agent.connections}`)
  }
  const show = (change: AgentChange) =>
    Effect.flatMap(
      json ? Effect.map(Effect.orDie(encode(change)), (encoded) => JSON.stringify(encoded)) : say(change),
      (line) => Console.log(line)
    )
  yield* Stream.runForEach(espalier.WatchAgents(query), show)
})

/** The table in place, its ages going on in between. */
const redraw = Effect.fnUntraced(function* (espalier: Client.Operation, query: Query) {
  const draw = yield* LiveText.make
  const shown = new Map<number, Agent>()
  const compare = agentOrders[query.order ?? "age"]
  const show = Effect.flatMap(
    Effect.suspend(() => text(Array.from(shown.values()).sort(compare))),
    draw
  )
  const take = (change: AgentChange) => {
    if (change._tag === "Snapshot") {
      shown.clear()
      for (const agent of change.agents) shown.set(agent.incarnation, agent)
    } else if (change._tag === "AgentRemoved") shown.delete(change.incarnation)
    else shown.set(change.agent.incarnation, change.agent)
    return show
  }
  yield* Effect.raceFirst(
    Stream.runForEach(espalier.WatchAgents(query), take),
    Effect.forever(Effect.andThen(Effect.sleep("1 second"), show))
  )
}, Effect.scoped)

export const agents = Command.make(
  "agents",
  {
    ...agentFlags,
    order: Flag.Literals("order", ["age", "key", "load", "connections"]).pipe(
      Flag.withDescription("By age (the default), by key, or those with the least to do first"),
      Flag.withDefault("age")
    ),
    limit: Flag.Int("limit").pipe(Flag.withDescription("At most this many"), Flag.withDefault(100)),
    watch: Flag.Boolean("watch").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Show who comes, changes and goes, until Ctrl-C: in place on a terminal"),
      Flag.withDefault(false)
    )
  },
  ({ capability, limit, metadata, order, role, session, status, tag, watch }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const query = { ...given({ session, role, status, metadata }), tag, capability, order, limit }
        const { json } = yield* root
        if (watch) {
          return yield* Terminal.isTerminal("stdout") && !json ? redraw(espalier, query) : follow(espalier, query)
        }
        const found = yield* espalier.FindAgents(query)
        const now = yield* Clock.currentTimeMillis
        yield* Output.print(Schema.Array(Agent), found, (agents) => table(agents, now))
      })
    )
).pipe(
  Command.withDescription(
    "Who is alive: sessions' agents and workers, by any mix of what they are and what they can do"
  ),
  Command.withSubcommands([send])
)
