import {
  Console,
  Deferred,
  Duration,
  Effect,
  Option,
  Schema,
  SchemaGetter,
  SchemaIssue,
  type Scope,
  Stream
} from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { text as textOf } from "node:stream/consumers"
import { Delivery } from "../../services/events/RuntimeEvent.ts"
import type { Permission } from "../../services/permission/Permission.ts"
import { visible, visibleJson } from "../../services/permission/visible.ts"
import type { Question } from "../../services/question/Question.ts"
import { generateMessageId, SessionId } from "../../services/session/SessionId.ts"
import type * as Client from "../client.ts"
import { directoryFlag, directoryOf } from "./directory.ts"
import { attach } from "./attachment.ts"
import type { MessageAttachment } from "../../services/session/MessageAttachment.ts"
import { PermissionNeeded, TurnCancelled, TurnFailed, TurnTimedOut, UsageError } from "./Failure.ts"
import { given } from "./given.ts"
import { mcpFlag, seenBy } from "./mcpFlag.ts"
import { insist } from "./insist.ts"
import * as mcpServers from "./mcpServers.ts"
import { root, withClient } from "./Root.ts"
import * as Screen from "./Screen.ts"
import * as Talk from "./Talk.ts"
import * as Terminal from "./Terminal.ts"

/** Characters of a prompt that become the title of a session of its own. */
const TITLE = 60

const encode = Schema.encodeEffect(Schema.toCodecJson(Delivery))

const input = Effect.promise(() => textOf(process.stdin))

const read = (prompt: Option.Option<string>) =>
  Effect.gen(function* () {
    // Nobody who forgot to write one is to wait for it.
    const given = Option.getOrElse(prompt, () => (process.stdin.isTTY ? "" : "-"))
    const text = given === "-" ? yield* input : given
    if (text.trim() === "") {
      return yield* new UsageError({
        message: 'there is no prompt; write one: espalier run "What is in this directory?"'
      })
    }
    return text
  })

/** Sends a prompt, shows what comes of it, and ends as its turn ends. Interrupting it cancels the turn. */
const ask = Effect.fnUntraced(function* (
  espalier: Client.Operation,
  session: { readonly id: SessionId; readonly sequence: number },
  message: { readonly text: string; readonly attachments?: ReadonlyArray<MessageAttachment> }
) {
  const { json } = yield* root
  const sessionId = session.id
  const messageId = yield* generateMessageId
  const screen = json ? Screen.silent : Screen.plain()
  const talk = Talk.make(espalier, screen)
  const listening = yield* Deferred.make<void>()
  const isHere = Deferred.succeed(listening, undefined)
  /** Nobody is there to be asked: what was begun is cancelled, and the reason told. */
  const refuse = ({ args, tool }: Permission) =>
    Effect.andThen(
      Effect.ignore(espalier.CancelTurn({ sessionId })),
      Effect.fail(new PermissionNeeded({ tool: visible(tool), args: visibleJson(args) }))
    )
  /** The server that asks goes on without an answer, and says what it comes to. */
  const decline = ({ message, questionId, server }: Question) =>
    Effect.andThen(
      screen.note(`declined what the MCP server ${visible(server)} asks: ${visible(message)}`),
      Effect.ignore(espalier.AnswerQuestion({ sessionId, questionId, action: "decline" }))
    )
  const take = (
    delivery: Delivery
  ): Effect.Effect<Talk.Ended | undefined, TurnCancelled | PermissionNeeded, Scope.Scope> => {
    const event = delivery._tag === "Event" ? delivery.event : undefined
    if (event?._tag === "SessionEnded") return Effect.fail(new TurnCancelled())
    if (event?._tag === "QuestionAsked") return Effect.as(decline(event), undefined)
    return event?._tag === "PermissionRequested" ? refuse(event) : talk.take(delivery)
  }
  const answer = Talk.deliveries(espalier.Subscribe, session, "espalier run", isHere).pipe(
    Stream.mapEffect((delivery) =>
      Effect.andThen(
        json
          ? Effect.flatMap(Effect.orDie(encode(delivery)), (encoded) => Console.log(JSON.stringify(encoded)))
          : Effect.void,
        take(delivery)
      )
    ),
    Stream.filter((ended) => ended?.messageId === messageId),
    Stream.runHead
  )
  const send = Effect.andThen(
    Deferred.await(listening),
    insist(espalier.SendMessage({ sessionId, messageId, ...message }))
  )
  const [ended] = yield* Effect.all([answer, send], { concurrency: 2 }).pipe(
    Effect.onInterrupt(() =>
      espalier
        .CancelTurn({ sessionId })
        .pipe(Effect.andThen(screen.note("cancelled")), Effect.ignore, Effect.timeoutOption("5 seconds"))
    )
  )
  yield* screen.endLine
  if (!json) yield* Effect.ignore(mcpServers.show(espalier, screen))
  const outcome = Option.getOrUndefined(ended)
  if (outcome === undefined || outcome.outcome === "cancelled") return yield* new TurnCancelled()
  if (outcome.outcome === "failed") {
    return yield* new TurnFailed(outcome.failure ?? { code: "turn_failed", message: "the turn failed" })
  }
}, Effect.scoped)

const stop = (espalier: Client.Operation, sessionId: SessionId) =>
  espalier.StopSession({ sessionId, reason: "its run is over" }).pipe(Effect.ignore, Effect.timeoutOption("5 seconds"))

/** `90 seconds`, `5m`, or a number of seconds. */
const time = Schema.String.pipe(
  Schema.decodeTo(Schema.Duration, {
    decode: SchemaGetter.transformEffect((text: string, options) => {
      const [, amount, unit = "s"] = /^(\d+(?:\.\d+)?) *(ms|s|m|h|seconds?|minutes?|hours?)?$/.exec(text.trim()) ?? []
      const milliseconds = Number(amount) * (unit === "ms" ? 1 : (units[unit.slice(0, 1)] ?? 1))
      return amount === undefined || milliseconds < 1
        ? Effect.fail(new SchemaIssue.InvalidValue({ message: "a time like 90, 90s or 5m" }, text, options))
        : Effect.succeed(Duration.millis(milliseconds))
    }),
    encode: SchemaGetter.transform((time: Duration.Duration) => Duration.format(time))
  })
)
const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 }

const within = <A, E, R>(timeout: Option.Option<Duration.Duration>, work: Effect.Effect<A, E, R>) =>
  Option.match(timeout, {
    onNone: (): Effect.Effect<A, E | TurnTimedOut, R> => work,
    onSome: (duration) =>
      Effect.timeoutOrElse(work, { duration, orElse: () => Effect.fail(new TurnTimedOut({ timeout: duration })) })
  })

/** Text from the input, as one of the attachments. */
const attachAll = (paths: ReadonlyArray<string>) =>
  Effect.forEach(paths, (path) =>
    path === "-"
      ? Effect.map(input, (text): MessageAttachment => ({ _tag: "Text", name: "input", text }))
      : attach(path)
  )

export const prompt = Command.make(
  "run",
  {
    prompt: Argument.String("prompt").pipe(
      Argument.withDescription(
        "What to do; - reads it from the input, which is also what happens without one in a pipe"
      ),
      Argument.optional
    ),
    session: Flag.String("session").pipe(
      Flag.withSchema(SessionId),
      Flag.withDescription("In this session (default: one of its own, which ends with it)"),
      Flag.optional
    ),
    keep: Flag.Boolean("keep").pipe(
      Flag.withDescription("Keep the session of its own, to go on with it"),
      Flag.withDefault(false)
    ),
    attach: Flag.String("attach").pipe(
      Flag.withDescription("A text or a picture that goes with it, - for the input; may be given more than once"),
      Flag.atLeast(0)
    ),
    allow: Flag.String("allow").pipe(
      Flag.withDescription(
        'Tools that may run without anybody being asked, as "files__*"; may be given more than once'
      ),
      Flag.atLeast(0)
    ),
    timeout: Flag.String("timeout").pipe(
      Flag.withSchema(time),
      Flag.withDescription("Longest that it may take, as 90s or 5m; then it is cancelled"),
      Flag.optional
    ),
    agentType: Flag.String("agent").pipe(Flag.withDescription("The type of agent"), Flag.optional),
    directory: directoryFlag,
    mcp: mcpFlag
  },
  ({ agentType, allow, attach: files, directory, keep, mcp, prompt, session, timeout }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const text = yield* read(prompt)
        const attachments = yield* attachAll(files)
        const message = { text, ...(attachments.length === 0 ? undefined : { attachments }) }
        if (Option.isSome(session)) {
          if (allow.length > 0 || Option.isSome(agentType) || Option.isSome(directory) || Option.isSome(mcp)) {
            return yield* new UsageError({
              message:
                "a session that is there has its own settings: --allow, --agent, --directory and --mcp are for new ones"
            })
          }
          const known = yield* espalier.GetSession({ sessionId: session.value })
          return yield* within(timeout, ask(espalier, known, message))
        }
        const title = Terminal.fit(Terminal.plain(text).trim(), TITLE)
        const own = yield* espalier.StartSession({
          title,
          ...given({ agentType }),
          ...(yield* directoryOf(directory)),
          ...seenBy(mcp),
          ...(allow.length === 0
            ? undefined
            : { permissions: { rules: allow.map((tool) => ({ tool, decision: "allow" as const })) } })
        })
        if (keep) yield* Console.error(Terminal.dim(`session ${own.id}`, "stderr"))
        yield* within(timeout, ask(espalier, own, message)).pipe(
          Effect.ensuring(keep ? Effect.void : stop(espalier, own.id))
        )
      })
    )
).pipe(
  Command.withDescription(
    "Have one prompt answered, for scripts: the answer on stdout, what is done for it on stderr, --json for one event a line"
  ),
  Command.withExamples([
    { command: 'espalier run "Which files are here?"', description: "Ask once" },
    { command: "git log -5 | espalier run -", description: "Ask what a pipe holds" },
    { command: 'git diff | espalier run "Is this right?" --attach -', description: "Ask about what a pipe holds" },
    { command: 'espalier run "Sort my notes" --allow "files__*" --timeout 5m', description: "With nobody there" },
    { command: 'espalier run "Go on" --session ses_…', description: "Go on with a session" }
  ])
)
