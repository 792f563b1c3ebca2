import { Clock, Console, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Topic from "../../services/events/Topic.ts"
import { Message, Session, SessionSummary } from "../../services/session/Session.ts"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import { Acknowledgement } from "../../services/session/SessionManager.ts"
import { answerTo } from "./answer.ts"
import { UsageError } from "./Failure.ts"
import { given } from "./given.ts"
import * as Output from "./Output.ts"
import { root, withClient } from "./Root.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const sessionId = Argument.String("session").pipe(
  Argument.withSchema(SessionId),
  Argument.withDescription('A session\'s id; see "espalier session list"')
)
const title = Flag.String("title").pipe(Flag.withDescription("What it is about"), Flag.optional)
const metadata = Flag.KeyValuePair("label").pipe(
  Flag.withDescription("A label, name=value; may be given more than once"),
  Flag.optional
)

const show_ = (session: Session, now: number): string =>
  Table.facts([
    ["session", session.id],
    ["title", session.title],
    ["agent type", session.agentType],
    ["status", session.status],
    ["messages", `${session.messages}${session.queued > 0 ? `, ${session.queued} waiting` : ""}`],
    ["workers", session.workers.join(", ")],
    [
      "labels",
      Object.entries(session.metadata)
        .map(([name, value]) => `${name}=${value}`)
        .join(", ")
    ],
    ["started", `${Terminal.duration(now - session.createdAt)} ago`],
    ["changed", `${Terminal.duration(now - session.updatedAt)} ago`],
    ["events", String(session.sequence)]
  ])

const printSession = (session: Session) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => Output.print(Session, session, (session) => show_(session, now)))

const start = Command.make(
  "start",
  {
    title,
    metadata,
    sessionId: Flag.String("id").pipe(
      Flag.withSchema(SessionId),
      Flag.withDescription("An id of your own (ses_...), which makes a retry safe"),
      Flag.optional
    ),
    agentType: Flag.String("agent").pipe(Flag.withDescription("The type of agent"), Flag.optional)
  },
  (options) => withClient((espalier) => Effect.flatMap(espalier.StartSession(given(options)), printSession))
).pipe(Command.withDescription("Start a session"))

const list = Command.make(
  "list",
  {
    before: Flag.String("before").pipe(
      Flag.withSchema(SessionId),
      Flag.withDescription("Older than this one: the last of the page before"),
      Flag.optional
    ),
    limit: Flag.Int("limit").pipe(Flag.withDescription("At most this many"), Flag.withDefault(50))
  },
  ({ before, limit }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const sessions = yield* espalier.ListSessions({ limit, ...given({ before }) })
        const now = yield* Clock.currentTimeMillis
        yield* Output.print(Schema.Array(SessionSummary), sessions, (sessions) =>
          Table.render(
            sessions,
            [
              { name: "SESSION", value: ({ id }) => id },
              {
                name: "STATUS",
                value: ({ status }) => status,
                style: (text, { status }) =>
                  status === "thinking"
                    ? Terminal.yellow(text)
                    : status === "ended"
                      ? Terminal.dim(text)
                      : Terminal.green(text)
              },
              { name: "MESSAGES", value: ({ messages }) => String(messages), align: "right" },
              {
                name: "CHANGED",
                value: ({ updatedAt }) => `${Terminal.duration(now - updatedAt)} ago`,
                align: "right"
              },
              { name: "TITLE", value: ({ title }) => title }
            ],
            'no sessions yet; "espalier session start" starts one'
          )
        )
      })
    )
).pipe(Command.withDescription("Sessions, newest first; ended ones too"))

const show = Command.make("show", { sessionId }, ({ sessionId }) =>
  withClient((espalier) => Effect.flatMap(espalier.GetSession({ sessionId }), printSession))
).pipe(Command.withDescription("One session"))

const stop = Command.make(
  "stop",
  { sessionId, reason: Flag.String("reason").pipe(Flag.withDescription("Why, for the record"), Flag.optional) },
  ({ reason, sessionId }) =>
    withClient((espalier) =>
      Effect.andThen(
        espalier.StopSession({ sessionId, ...given({ reason }) }),
        Output.print(Schema.Struct({ stopped: SessionId }), { stopped: sessionId }, () => `stopped ${sessionId}`)
      )
    )
).pipe(Command.withDescription("Stop a session for good: it can still be read"))

const cancel = Command.make("cancel", { sessionId }, ({ sessionId }) =>
  withClient((espalier) =>
    Effect.andThen(
      espalier.CancelTurn({ sessionId }),
      Output.print(
        Schema.Struct({ cancelled: SessionId }),
        { cancelled: sessionId },
        () => `cancelled the turn of ${sessionId}`
      )
    )
  )
).pipe(Command.withDescription("Cancel the running turn; messages that wait stay in line"))

const update = Command.make("update", { sessionId, title, metadata }, ({ sessionId, ...change }) =>
  Effect.gen(function* () {
    if (Option.isNone(change.title) && Option.isNone(change.metadata)) {
      return yield* new UsageError({ message: "say what to change: --title TEXT or --label name=value" })
    }
    yield* withClient((espalier) =>
      Effect.flatMap(espalier.UpdateSession({ sessionId, ...given(change) }), printSession)
    )
  })
).pipe(Command.withDescription("Change a session's title or labels"))

const messageText = (message: Message): string => {
  switch (message._tag) {
    case "UserMessage":
      return `${Terminal.bold("you")}\n${Terminal.lines(message.text)}`
    case "AssistantMessage":
      return `${Terminal.bold("agent")}${message.partial ? Terminal.dim("  (cut off)") : ""}\n${Terminal.lines(message.text)}`
    case "ToolMessage": {
      const outcome = message.outcome === undefined ? "running" : JSON.stringify(message.outcome)
      return `${Terminal.bold("tool")} ${message.tool} ${Terminal.plain(JSON.stringify(message.args))}\n${Terminal.dim(Terminal.fit(Terminal.plain(outcome), 400))}`
    }
  }
}

const messages = Command.make(
  "messages",
  {
    sessionId,
    after: Flag.Int("after").pipe(Flag.withDescription("Only what comes after this sequence"), Flag.optional),
    limit: Flag.Int("limit").pipe(Flag.withDescription("At most this many"), Flag.withDefault(100))
  },
  ({ after, limit, sessionId }) =>
    withClient((espalier) =>
      Effect.flatMap(espalier.GetMessages({ sessionId, limit, ...given({ after }) }), (messages) =>
        Output.print(Schema.Array(Message), messages, (messages) =>
          messages.length === 0 ? Terminal.dim("no messages") : messages.map(messageText).join("\n\n")
        )
      )
    )
).pipe(Command.withDescription("The conversation, in order"))

const Answer = Schema.Struct({ ...Acknowledgement.fields, text: Schema.String })

const send = Command.make(
  "send",
  {
    sessionId,
    text: Argument.String("text").pipe(Argument.withDescription("What to say")),
    messageId: Flag.String("id").pipe(
      Flag.withSchema(MessageId),
      Flag.withDescription("An id of your own (msg_...), which makes a retry safe"),
      Flag.optional
    ),
    wait: Flag.Boolean("wait").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Print the answer as it comes"),
      Flag.withDefault(false)
    )
  },
  ({ messageId, sessionId, text, wait }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const message = { sessionId, text, ...given({ messageId }) }
        if (!wait) {
          const accepted = yield* espalier.SendMessage(message)
          return yield* Output.print(Acknowledgement, accepted, () => `accepted ${accepted.messageId}`)
        }
        const { json } = yield* root
        const { sequence } = yield* espalier.GetSession({ sessionId })
        const topic = Topic.ofSession(sessionId)
        // Read from before the message is sent, so that nothing of the answer is missed.
        const deliveries = espalier.Subscribe({ topic, from: sequence + 1 })
        const accepted = yield* espalier.SendMessage(message)
        // A message that was accepted earlier may have been answered already.
        const from = Math.min(sequence + 1, accepted.sequence)
        const answer = yield* answerTo(
          accepted.messageId as MessageId,
          from === sequence + 1 ? deliveries : espalier.Subscribe({ topic, from }),
          (piece) => (json ? Effect.void : Effect.sync(() => void process.stdout.write(Terminal.lines(piece))))
        ).pipe(
          Effect.onInterrupt(() =>
            espalier
              .CancelTurn({ sessionId })
              .pipe(
                Effect.andThen(Console.error("\ncancelled the turn")),
                Effect.ignore,
                Effect.timeoutOption("5 seconds")
              )
          )
        )
        yield* Output.print(Answer, { ...accepted, text: answer }, () => "")
      })
    )
).pipe(Command.withDescription("Say something to a session"))

export const session = Command.make("session").pipe(
  Command.withDescription("Sessions: conversations that last"),
  Command.withSubcommands([start, list, show, send, messages, cancel, update, stop])
)
