import { Console, Effect, Option, Schema, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Delivery } from "../../services/events/RuntimeEvent.ts"
import { Expired, Policy } from "../../services/events/Subscription.ts"
import { isWildcard, Subject, type Topic } from "../../services/events/Topic.ts"
import { type SubscriberStats, TopicStats } from "../../services/events/TopicStats.ts"
import type * as Client from "../client.ts"
import { UsageError } from "./Failure.ts"
import { given } from "./given.ts"
import * as Output from "./Output.ts"
import { root, withClient } from "./Root.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const clock = new Intl.DateTimeFormat("sv-SE", { timeStyle: "medium" })

/** The fields of an event, the long ones cut: all of them are in `--json`. */
const fieldsOf = ({ _tag, ...fields }: { readonly _tag: string }): string =>
  Object.entries(fields)
    .map(([name, value]) => {
      const text = typeof value === "string" ? value : JSON.stringify(value)
      return `${name}=${Terminal.fit(Terminal.plain(text.slice(0, 1_000)), 120)}`
    })
    .join("  ")

const line = (delivery: Delivery): string => {
  if (delivery._tag === "Lagged") {
    return Terminal.yellow(`       ${delivery.count} events were skipped (${delivery.from} to ${delivery.to})`)
  }
  if (delivery._tag === "Snapshot") {
    const { earliest, sequence, session } = delivery
    return Terminal.yellow(
      Terminal.plain(
        `${String(sequence).padStart(6)}  the state after event ${sequence}; older ones are kept from ${earliest} on: ${session.status}, ${session.messages} messages  ${session.title}`
      )
    )
  }
  const place = delivery._tag === "Event" ? String(delivery.sequence) : "·"
  const head = `${Terminal.dim(`${place.padStart(6)}  ${clock.format(delivery.at)}`)}  ${Terminal.bold(delivery.event._tag.padEnd(18))}`
  const text = `${head}  ${fieldsOf(delivery.event)}`
  return Terminal.isTerminal("stdout")
    ? Terminal.fit(text, Terminal.width("stdout") + text.length - Terminal.columns(text))
    : text
}

/** The newest sequence of a topic: what a reader from beyond it is told. */
const latestOf = (espalier: Client.Operation, topic: Topic) =>
  espalier.Subscribe({ topic, from: 2 ** 31 }).pipe(
    Stream.runHead,
    Effect.as(0),
    Effect.catchTag("CursorAhead", ({ latest }) => Effect.succeed(latest))
  )

const hasReached =
  (latest: number) =>
  (delivery: Delivery): boolean =>
    delivery._tag === "Event" ? delivery.sequence >= latest : delivery._tag === "Lagged" && delivery.to >= latest

/** What there is of a topic, from a sequence on, or from the oldest that is kept. */
const stored = Effect.fnUntraced(function* (espalier: Client.Operation, topic: Topic, from: Option.Option<number>) {
  const latest = yield* latestOf(espalier, topic)
  const first = Option.getOrElse(from, () => 1)
  if (first === latest + 1) return Stream.empty
  const deliveries = espalier.Subscribe({ topic, from: first })
  const all = Option.isSome(from)
    ? deliveries
    : Stream.catchTag(deliveries, "CursorExpired", ({ earliest }) => espalier.Subscribe({ topic, from: earliest }))
  return Stream.takeUntil(all, hasReached(latest))
})

const columns: ReadonlyArray<Table.Column<SubscriberStats>> = [
  { name: "topic", value: ({ topic }) => topic },
  { name: "queue", value: ({ capacity, depth }) => `${depth}/${capacity}`, align: "right" },
  { name: "delivered", value: ({ delivered }) => String(delivered), align: "right" },
  {
    name: "lost",
    value: ({ lost }) => String(lost),
    align: "right",
    style: (text, { lost }) => (lost > 0 ? Terminal.yellow(text) : text)
  },
  { name: "lag", value: ({ lag }) => String(lag), align: "right" },
  { name: "policy", value: ({ policy }) => policy },
  { name: "state", value: ({ state }) => state },
  { name: "who", value: ({ connection, label }) => [label, connection ?? "the server"].filter(Boolean).join(", ") }
]

const showStats = (espalier: Client.Operation, topic: Subject | undefined) =>
  Effect.flatMap(espalier.TopicStats({ ...(topic === undefined ? {} : { topic }), limit: 1_000 }), (topics) =>
    Output.print(Schema.Array(TopicStats), topics, (topics) => {
      const listed = topics.flatMap(({ list }) => list)
      const more = topics.reduce((sum, { subscribers }) => sum + subscribers, 0) - listed.length
      const table = Table.render(listed, columns, "nobody listens")
      return more > 0 ? `${table}\n${Terminal.dim(`and ${more} more`)}` : table
    })
  )

export const events = Command.make(
  "events",
  {
    topic: Argument.String("topic").pipe(
      Argument.withSchema(Subject),
      Argument.withDescription(
        "session:<id>, worker:<id>, system:agents, system:maintenance, system:health, system:pool or system:mcp; with --follow also session:* or worker:* (without the pieces of text that a model streams)"
      ),
      Argument.optional
    ),
    from: Flag.Int("from").pipe(
      Flag.withDescription(
        "First sequence wanted (default: the first there is; with --follow, what comes from now on)"
      ),
      Flag.optional
    ),
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("Go on with what happens, until Ctrl-C"),
      Flag.withDefault(false)
    ),
    policy: Flag.Literals("policy", Policy.literals).pipe(
      Flag.withDescription(
        "With --follow: what a full queue means, catchup (default), sliding, dropping or disconnect"
      ),
      Flag.optional
    ),
    expired: Flag.Literals("expired", Expired.literals).pipe(
      Flag.withDescription(
        "With --follow: what --from means when it is no longer kept, fail (default) or snapshot: begin with the session's state"
      ),
      Flag.optional
    ),
    stats: Flag.Boolean("stats").pipe(
      Flag.withDescription("Who listens to what, and how far behind, instead of events"),
      Flag.withDefault(false)
    )
  },
  ({ expired, follow, from, policy, stats, topic: asked }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const topic = Option.getOrUndefined(asked)
        if (stats) return yield* showStats(espalier, topic)
        if (topic === undefined) {
          return yield* new UsageError({
            message: `name a topic, or ask who listens with --stats; see "espalier events --help"`
          })
        }
        const { json } = yield* root
        const encode = Schema.encodeEffect(Schema.toCodecJson(Delivery))
        const show = (delivery: Delivery) =>
          json
            ? Effect.flatMap(Effect.orDie(encode(delivery)), (encoded) => Console.log(JSON.stringify(encoded)))
            : Console.log(line(delivery))
        if (follow) {
          const subscription = { topic, label: "espalier events", ...given({ expired, from, policy }) }
          return yield* Stream.runForEach(espalier.Subscribe(subscription), show)
        }
        if (isWildcard(topic)) {
          return yield* new UsageError({ message: `${topic} has no past: add --follow to see what happens` })
        }
        yield* Stream.runForEach(yield* stored(espalier, topic, from), show)
      })
    )
).pipe(Command.withDescription("The events of a topic, one a line; or who listens to them"))
