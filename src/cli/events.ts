import { Console, Effect, Option, Schema, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Delivery } from "../../services/events/RuntimeEvent.ts"
import { Topic } from "../../services/events/Topic.ts"
import type * as Client from "../client.ts"
import { given } from "./given.ts"
import { root, withClient } from "./Root.ts"
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

/** What there is of a topic, from a sequence on. */
const stored = Effect.fnUntraced(function* (espalier: Client.Operation, topic: Topic, from: number) {
  const latest = yield* latestOf(espalier, topic)
  return from === latest + 1
    ? Stream.empty
    : espalier.Subscribe({ topic, from }).pipe(Stream.takeUntil(hasReached(latest)))
})

export const events = Command.make(
  "events",
  {
    topic: Argument.String("topic").pipe(
      Argument.withSchema(Topic),
      Argument.withDescription("session:<id>, worker:<id>, system:agents, system:maintenance or system:health")
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
    )
  },
  ({ follow, from, topic }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const { json } = yield* root
        const encode = Schema.encodeEffect(Schema.toCodecJson(Delivery))
        const show = (delivery: Delivery) =>
          json
            ? Effect.flatMap(Effect.orDie(encode(delivery)), (encoded) => Console.log(JSON.stringify(encoded)))
            : Console.log(line(delivery))
        const deliveries = follow
          ? espalier.Subscribe({ topic, ...given({ from }) })
          : yield* stored(
              espalier,
              topic,
              Option.getOrElse(from, () => 1)
            )
        yield* Stream.runForEach(deliveries, show)
      })
    )
).pipe(Command.withDescription("The events of a topic, one a line"))
