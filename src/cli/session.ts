import { resolve } from "node:path"
import { Clock, Console, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Topic from "../../services/events/Topic.ts"
import { visible, visibleJson } from "../../services/permission/visible.ts"
import { Message, Session, SessionSummary } from "../../services/session/Session.ts"
import { WhenBusy } from "../../services/session/SessionEvent.ts"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import { Acknowledgement } from "../../services/session/SessionManager.ts"
import type * as Client from "../client.ts"
import { attach } from "./attachment.ts"
import { answerTo } from "../answer.ts"
import { UsageError } from "./Failure.ts"
import { given } from "./given.ts"
import { mcpFlag, seenBy } from "./mcpFlag.ts"
import * as Output from "./Output.ts"
import { approve, deny, permissions } from "./permission.ts"
import { answer, questions } from "./question.ts"
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
    ["below", session.parent ?? ""],
    ["permissions", session.permissions.join(", ")],
    ["questions", session.questions.join(", ")],
    ["workers", session.workers.join(", ")],
    ["sub-sessions", session.subSessions.join(", ")],
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
    directory: Flag.Path("directory").pipe(
      Flag.withDescription("Where it works: its AGENTS.md is told to the model"),
      Flag.optional
    ),
    parent: Flag.String("parent").pipe(
      Flag.withSchema(SessionId),
      Flag.withDescription("Makes it a sub-session of this one, which ends with it"),
      Flag.optional
    ),
    mcp: mcpFlag,
    agentType: Flag.String("agent").pipe(Flag.withDescription("The type of agent"), Flag.optional)
  },
  ({ directory, mcp, parent, ...options }) =>
    withClient((espalier) =>
      Effect.flatMap(
        espalier.StartSession({
          ...given(options),
          ...seenBy(mcp),
          ...(Option.isSome(directory) ? { directory: resolve(directory.value) } : undefined),
          ...(Option.isSome(parent) ? { parent: { sessionId: parent.value } } : undefined)
        }),
        printSession
      )
    )
).pipe(Command.withDescription("Start a session"))

const list = Command.make(
  "list",
  {
    before: Flag.String("before").pipe(
      Flag.withSchema(SessionId),
      Flag.withDescription("Older than this one: the last of the page before"),
      Flag.optional
    ),
    parent: Flag.String("parent").pipe(
      Flag.withSchema(SessionId),
      Flag.withDescription("Only those below this one"),
      Flag.optional
    ),
    limit: Flag.Int("limit").pipe(Flag.withDescription("At most this many"), Flag.withDefault(50))
  },
  ({ before, limit, parent }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const sessions = yield* espalier.ListSessions({ limit, ...given({ before, parent }) })
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
                    : status === "awaiting_permission"
                      ? Terminal.red(text)
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

const somethingToChange = (change: Readonly<Record<string, Option.Option<unknown>>>) =>
  Object.values(change).some(Option.isSome)
    ? Effect.void
    : Effect.fail(new UsageError({ message: "say what to change: --title TEXT or --label name=value" }))

const update = Command.make("update", { sessionId, title, metadata }, ({ sessionId, ...change }) =>
  Effect.andThen(
    somethingToChange(change),
    withClient((espalier) => Effect.flatMap(espalier.UpdateSession({ sessionId, ...given(change) }), printSession))
  )
).pipe(Command.withDescription("Change a session's title or labels"))

const headOf = (message: Message): string => {
  if (message._tag === "UserMessage") return Terminal.bold("you")
  if (message._tag === "ToolMessage") {
    return `${Terminal.bold("tool")} ${message.tool} ${Terminal.plain(JSON.stringify(message.args))}`
  }
  return `${Terminal.bold("agent")}${message.partial ? Terminal.dim("  (cut off)") : ""}`
}

const bodyOf = (message: Message): string =>
  message._tag === "ToolMessage"
    ? Terminal.dim(
        message.outcome === undefined ? "running" : Terminal.fit(Terminal.plain(JSON.stringify(message.outcome)), 400)
      )
    : Terminal.lines(message.text)

const messageText = (message: Message): string => `${headOf(message)}\n${bodyOf(message)}`

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

type Sent = Parameters<Client.Operation["SendMessage"]>[0]

/** Sends a message and hands out the answer as it comes. Interrupting it cancels the turn. */
const converse = Effect.fnUntraced(function* (espalier: Client.Operation, message: Sent) {
  const { json } = yield* root
  const { sessionId } = message
  const { sequence } = yield* espalier.GetSession({ sessionId })
  const accepted = yield* espalier.SendMessage(message)
  const text = yield* answerTo(
    accepted.messageId,
    // From before the message, or, if it was accepted earlier, from there.
    espalier.Subscribe({ topic: Topic.ofSession(sessionId), from: Math.min(sequence + 1, accepted.sequence) }),
    (piece) => (json ? Effect.void : Effect.sync(() => void process.stdout.write(Terminal.lines(piece)))),
    ({ args, permissionId, tool }) =>
      Console.error(
        `\n${visible(tool)} waits for permission: ${visibleJson(args)}\n` +
          `  espalier session approve ${sessionId} ${permissionId}\n` +
          `  espalier session deny ${sessionId} ${permissionId}`
      ),
    ({ message, questionId, server }) =>
      Console.error(
        `\nthe MCP server ${visible(server)} asks: ${visible(message)}\n` +
          `  espalier session questions ${sessionId}\n` +
          `  espalier session answer ${sessionId} ${questionId} --accept name=value …, or --decline`
      )
  ).pipe(
    Effect.onInterrupt(() =>
      espalier
        .CancelTurn({ sessionId })
        .pipe(Effect.andThen(Console.error("\ncancelled the turn")), Effect.ignore, Effect.timeoutOption("5 seconds"))
    )
  )
  yield* Output.print(Answer, { ...accepted, text }, () => "")
})

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
    attach: Flag.File("attach", { mustExist: true }).pipe(
      Flag.withDescription("A text or a picture that goes with it; may be given more than once"),
      Flag.atLeast(0)
    ),
    whenBusy: Flag.Literals("when-busy", WhenBusy.literals).pipe(
      Flag.withDescription(
        "While a turn runs: wait (enqueue), be refused (reject), cancel it (interrupt), or undo it (rollback)"
      ),
      Flag.optional
    ),
    wait: Flag.Boolean("wait").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Print the answer as it comes"),
      Flag.withDefault(false)
    )
  },
  ({ attach: files, messageId, sessionId, text, wait, whenBusy }) =>
    withClient((espalier) =>
      Effect.flatMap(Effect.forEach(files, attach), (attachments) => {
        const message = {
          sessionId,
          text,
          ...(attachments.length === 0 ? undefined : { attachments }),
          ...given({ messageId, whenBusy })
        }
        return wait
          ? converse(espalier, message)
          : Effect.flatMap(espalier.SendMessage(message), (accepted) =>
              Output.print(Acknowledgement, accepted, () => `accepted ${accepted.messageId}`)
            )
      })
    )
).pipe(Command.withDescription("Say something to a session"))

export const session = Command.make("session").pipe(
  Command.withDescription("Sessions: conversations that last"),
  Command.withSubcommands([
    start,
    list,
    show,
    send,
    messages,
    permissions,
    approve,
    deny,
    questions,
    answer,
    cancel,
    update,
    stop
  ])
)
