import { Console, Deferred, Effect, Option, Schema, type Scope, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { text as textOf } from "node:stream/consumers"
import { Delivery } from "../../services/events/RuntimeEvent.ts"
import type { Permission } from "../../services/permission/Permission.ts"
import { visible, visibleJson } from "../../services/permission/visible.ts"
import { generateMessageId, SessionId } from "../../services/session/SessionId.ts"
import type * as Client from "../client.ts"
import { PermissionNeeded, TurnCancelled, TurnFailed, UsageError } from "./Failure.ts"
import { given } from "./given.ts"
import { mcpFlag, seenBy } from "./mcpFlag.ts"
import { insist } from "./insist.ts"
import { root, withClient } from "./Root.ts"
import * as Screen from "./Screen.ts"
import * as Talk from "./Talk.ts"
import * as Terminal from "./Terminal.ts"

/** Characters of a prompt that become the title of a session of its own. */
const TITLE = 60

const encode = Schema.encodeEffect(Schema.toCodecJson(Delivery))

const read = (prompt: string) =>
  Effect.gen(function* () {
    const text = prompt === "-" ? yield* Effect.promise(() => textOf(process.stdin)) : prompt
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
  text: string
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
  const take = (
    delivery: Delivery
  ): Effect.Effect<Talk.Ended | undefined, TurnCancelled | PermissionNeeded, Scope.Scope> => {
    const event = delivery._tag === "Event" ? delivery.event : undefined
    if (event?._tag === "SessionEnded") return Effect.fail(new TurnCancelled())
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
  const send = Effect.andThen(Deferred.await(listening), insist(espalier.SendMessage({ sessionId, text, messageId })))
  const [ended] = yield* Effect.all([answer, send], { concurrency: 2 }).pipe(
    Effect.onInterrupt(() =>
      espalier
        .CancelTurn({ sessionId })
        .pipe(Effect.andThen(screen.note("cancelled")), Effect.ignore, Effect.timeoutOption("5 seconds"))
    )
  )
  yield* screen.endLine
  const outcome = Option.getOrUndefined(ended)
  if (outcome === undefined || outcome.outcome === "cancelled") return yield* new TurnCancelled()
  if (outcome.outcome === "failed") {
    return yield* new TurnFailed(outcome.failure ?? { code: "turn_failed", message: "the turn failed" })
  }
}, Effect.scoped)

const stop = (espalier: Client.Operation, sessionId: SessionId) =>
  espalier.StopSession({ sessionId, reason: "its run is over" }).pipe(Effect.ignore, Effect.timeoutOption("5 seconds"))

export const prompt = Command.make(
  "run",
  {
    prompt: Argument.String("prompt").pipe(Argument.withDescription("What to do; - reads it from the input")),
    session: Flag.String("session").pipe(
      Flag.withSchema(SessionId),
      Flag.withDescription("In this session (default: one of its own, which ends with it)"),
      Flag.optional
    ),
    keep: Flag.Boolean("keep").pipe(
      Flag.withDescription("Keep the session of its own, to go on with it"),
      Flag.withDefault(false)
    ),
    mcp: mcpFlag
  },
  ({ keep, mcp, prompt, session }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const text = yield* read(prompt)
        if (Option.isSome(session)) {
          return yield* ask(espalier, yield* espalier.GetSession({ sessionId: session.value }), text)
        }
        const title = Terminal.fit(Terminal.plain(text), TITLE)
        const own = yield* espalier.StartSession({ ...given({ title: Option.some(title) }), ...seenBy(mcp) })
        if (keep) yield* Console.error(Terminal.dim(`session ${own.id}`, "stderr"))
        yield* ask(espalier, own, text).pipe(Effect.ensuring(keep ? Effect.void : stop(espalier, own.id)))
      })
    )
).pipe(
  Command.withDescription(
    "Have one prompt answered, for scripts: the answer on stdout, what is done for it on stderr, --json for one event a line"
  ),
  Command.withExamples([
    { command: 'espalier run "Which files are here?"', description: "Ask once" },
    { command: "git diff | espalier run -", description: "Ask with what a pipe holds" },
    { command: 'espalier run "Go on" --session ses_…', description: "Go on with a session" }
  ])
)
