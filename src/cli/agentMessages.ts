/** `espalier agents send`: a message to one agent, to one of those that fit, or to all of them. */
import { Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { AgentKey, nameOf } from "../../services/registry/Agent.ts"
import { DeliveryReceipt } from "../../services/registry/AgentMessage.ts"
import type { RoutingStrategy } from "../../services/registry/Router.ts"
import { MessageId } from "../../services/session/SessionId.ts"
import { agentFlags } from "./agentFlags.ts"
import { MessageNotDelivered, UsageError } from "./Failure.ts"
import { given } from "./given.ts"
import * as Output from "./Output.ts"
import { withClient } from "./Root.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const decodeKey = Schema.decodeUnknownOption(AgentKey)

/** `ses_1/main/0`, or a session's id for its main agent. */
const keyFrom = (text: string): Effect.Effect<AgentKey, UsageError> => {
  const [session, role = "main", index = "0", ...rest] = text.split("/")
  const key = rest.length > 0 || index === "" ? Option.none() : decodeKey({ session, role, index: Number(index) })
  return Option.match(key, {
    onNone: () => Effect.fail(new UsageError({ message: `"${text}" is no agent: SESSION, or SESSION/ROLE/INDEX` })),
    onSome: Effect.succeed
  })
}

const words = ({ outcome }: DeliveryReceipt): string => {
  switch (outcome._tag) {
    case "Delivered":
      return outcome.sequence === undefined ? "delivered" : `delivered as event ${outcome.sequence}`
    case "MailboxFull":
      return `its mailbox is full (${outcome.capacity} wait); try again later`
    case "NoSuchAgent":
      return "there is no such agent"
    case "Ended":
      return "it has ended"
    case "NoMailbox":
      return "it takes no messages"
    case "TimedOut":
      return "it did not answer in time, and may have the message; try again with the same --message-id"
    // Refused
    default:
      return outcome.message
  }
}

const isDelivered = ({ outcome }: DeliveryReceipt): boolean => outcome._tag === "Delivered"

const table = (receipts: ReadonlyArray<DeliveryReceipt>) =>
  Table.render(
    receipts,
    [
      { name: "AGENT", value: ({ agent }) => nameOf(agent) },
      { name: "MESSAGE", value: ({ messageId }) => messageId },
      {
        name: "OUTCOME",
        value: words,
        style: (text, receipt) => (isDelivered(receipt) ? Terminal.green(text) : Terminal.yellow(text))
      }
    ],
    "no agent fits; nothing was sent"
  )

const strategies = ["round_robin", "least_loaded", "least_connections", "random"] as const

export const send = Command.make(
  "send",
  {
    text: Argument.String("text").pipe(Argument.withDescription("The message")),
    to: Flag.String("to").pipe(Flag.withDescription("This agent: SESSION, or SESSION/ROLE/INDEX"), Flag.optional),
    ...agentFlags,
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("To all agents that fit, not to one of them"),
      Flag.withDefault(false)
    ),
    strategy: Flag.Literals("strategy", strategies).pipe(
      Flag.withDescription("How one of those that fit is picked (default round_robin)"),
      Flag.optional
    ),
    sticky: Flag.String("sticky").pipe(
      Flag.withDescription("For the same key always the same agent, while it lives"),
      Flag.optional
    ),
    from: Flag.String("from").pipe(Flag.withDescription("The agent that sends it"), Flag.optional),
    messageId: Flag.String("message-id").pipe(
      Flag.withSchema(MessageId),
      Flag.withDescription("An id of your own (msg_...), which makes a retry safe"),
      Flag.optional
    ),
    limit: Flag.Int("limit").pipe(Flag.withDescription("With --all: to at most this many"), Flag.withDefault(100))
  },
  ({ all, capability, from, limit, messageId, metadata, role, session, status, sticky, strategy, tag, text, to }) =>
    Effect.gen(function* () {
      const filter = { ...given({ session, role, status, metadata }), tag, capability }
      const isFiltered = Object.values(filter).some((value) => !Array.isArray(value) || value.length > 0)
      if (Option.isSome(to) && (isFiltered || all)) {
        return yield* new UsageError({ message: "either --to, or flags that say which agents are meant" })
      }
      if (Option.isNone(to) && !isFiltered && !all) {
        return yield* new UsageError({ message: "to whom? --to an agent, or by --capability, --tag ... or --all" })
      }
      const letter = {
        text,
        ...given({ messageId }),
        ...(Option.isSome(from) ? { from: yield* keyFrom(from.value) } : {})
      }
      if (all) {
        const receipts = yield* withClient((espalier) =>
          espalier.BroadcastAgentMessage({ to: filter, ...letter, limit })
        )
        yield* Output.print(Schema.Array(DeliveryReceipt), receipts, table)
        const missed = receipts.filter((receipt) => !isDelivered(receipt)).length
        return missed === 0
          ? undefined
          : yield* new MessageNotDelivered({ message: `not delivered to ${missed} of ${receipts.length} agents` })
      }
      const chosen: RoutingStrategy | undefined = Option.isSome(sticky)
        ? { sticky: sticky.value }
        : Option.getOrUndefined(strategy)
      const route = { ...filter, ...(chosen === undefined ? {} : { strategy: chosen }) }
      const target = Option.isSome(to) ? { to: yield* keyFrom(to.value) } : { route }
      const receipt = yield* withClient((espalier) => espalier.SendAgentMessage({ ...target, ...letter }))
      yield* Output.print(DeliveryReceipt, receipt, (receipt) => table([receipt]))
      if (isDelivered(receipt)) return
      return yield* new MessageNotDelivered({ message: `not delivered to ${nameOf(receipt.agent)}: ${words(receipt)}` })
    })
).pipe(
  Command.withDescription(
    "Send a message to an agent, to one of those that fit, or to all of them, and see its outcome"
  )
)
