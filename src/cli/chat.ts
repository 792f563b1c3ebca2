import { Cause, Deferred, Effect, Exit, Option, Queue, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import type { Session } from "../../services/session/Session.ts"
import { type MessageId, SessionId } from "../../services/session/SessionId.ts"
import { command } from "../calledAs.ts"
import type * as Client from "../client.ts"
import type { FollowError } from "../client/follow.ts"
import * as Asking from "./Asking.ts"
import { isUrgent, newest, type Next, obey, showModel } from "./chat/commands.ts"
import * as past from "./chat/past.ts"
import * as permissions from "./chat/permissions.ts"
import * as questions from "./chat/questions.ts"
import type { Room } from "./chat/Room.ts"
import { directoryFlag, directoryOf } from "./directory.ts"
import { UsageError } from "./Failure.ts"
import { given } from "./given.ts"
import { mcpFlag, seenBy } from "./mcpFlag.ts"
import * as Lines from "./Lines.ts"
import * as mcpServers from "./mcpServers.ts"
import { root, withClient } from "./Root.ts"
import { Signals } from "./Signals.ts"
import * as Talk from "./Talk.ts"
import * as Terminal from "./Terminal.ts"

/** Lines that are read ahead. */
const WAITING = 100
/** How long a pipe may take to bring the answer to a question. */
const PATIENCE = "5 minutes"

/** What a session is called until something is said in it. */
const UNTITLED = "chat"
/** Columns of its first message that it is called by then. */
const TITLE = 60

interface Input {
  readonly lines: Lines.Lines
  /** Lines that wait for those before them. */
  readonly inLine: Queue.Queue<string, Cause.Done>
}

type Opened = Pick<Session, "id" | "title" | "messages" | "sequence" | "subSessions">

/** Talks in one session, until the input ends or something else is wanted. */
const converse = Effect.fnUntraced(function* (espalier: Client.Operation, session: Opened, { inLine, lines }: Input) {
  const sessionId = session.id
  const { screen } = lines
  const { embedded } = yield* root
  const signals = yield* Signals
  const talk = Talk.make(espalier, screen)
  const room: Room = { espalier, sessionId, lines, screen, talk, sent: new Map(), attachments: [] }
  const leaving = yield* Deferred.make<Next>()
  const broken = yield* Deferred.make<never, FollowError>()
  let hasEnded = false
  let isUntitled = session.title === UNTITLED && session.messages === 0

  const slowly = Effect.timeoutOrElse(Queue.take(inLine), { duration: PATIENCE, orElse: () => Cause.done() })
  const asking = yield* Asking.make(lines, slowly)
  const asked = yield* permissions.make(room, asking)
  const wanted = yield* questions.make(room, asking)
  const isIdle = () => talk.running() === undefined && room.sent.size === 0 && !asking.isWaiting()
  const prompt = Effect.suspend(() => (isIdle() ? lines.prompt() : Effect.void))

  const onEnd = (ended: Talk.Ended) =>
    Effect.gen(function* () {
      yield* screen.endLine
      if (ended.failure !== undefined) yield* screen.note(`error: ${ended.failure.message} (${ended.failure.code})`)
      else if (ended.outcome === "cancelled") yield* screen.note("cancelled")
      const answered = ended.messageId === undefined ? undefined : room.sent.get(ended.messageId)?.answered
      if (ended.messageId !== undefined) room.sent.delete(ended.messageId)
      if (answered !== undefined) yield* Deferred.succeed(answered, undefined)
      yield* prompt
    })
  /** Messages that wait for their turn. */
  const waiting = new Map<MessageId, string>()
  /** What is answered now, where it does not stand right above. */
  const echo = (messageId: MessageId) => {
    const text = waiting.get(messageId) ?? ""
    waiting.delete(messageId)
    return room.sent.get(messageId)?.isFresh === true || text === "" ? Effect.void : screen.note(`> ${text}`)
  }
  const take = (event: RuntimeEvent) => {
    switch (event._tag) {
      case "SessionEnded":
        hasEnded = true
        return Effect.andThen(
          screen.note(`the session has ended (${Terminal.plain(event.reason)})`),
          Deferred.succeed(leaving, "leave")
        )
      case "PermissionRequested":
        return asked.request(event)
      case "PermissionResolved":
        return asked.settle(event)
      case "QuestionAsked":
        return wanted.request(event)
      case "QuestionSettled":
        return wanted.settle(event)
      case "MessageReceived": {
        waiting.set(event.messageId, event.text)
        if (!isUntitled) return Effect.void
        isUntitled = false
        const title = Terminal.fit(Terminal.plain(event.text).trim(), TITLE)
        return Effect.asVoid(Effect.forkScoped(Effect.ignore(espalier.UpdateSession({ sessionId, title }))))
      }
      case "TurnStarted":
        return echo(event.messageId)
      default:
        return Effect.void
    }
  }

  let isAway = false
  const subscribe: typeof espalier.Subscribe = (payload) =>
    espalier.Subscribe(payload).pipe(
      Stream.tapError((error) => {
        if (isAway || error._tag !== "ServerUnreachable") return Effect.void
        isAway = true
        return screen.note("the server is away; waiting for it")
      }),
      Stream.tap(() => {
        if (!isAway) return Effect.void
        isAway = false
        return screen.note("the server is back")
      })
    )
  const listening = yield* Deferred.make<void>()
  yield* Talk.deliveries(subscribe, session, "espalier chat", Deferred.succeed(listening, undefined)).pipe(
    Stream.runForEach((delivery) =>
      Effect.gen(function* () {
        if (delivery._tag === "Event") yield* take(delivery.event)
        const ended = yield* talk.take(delivery)
        if (ended !== undefined) yield* onEnd(ended)
      })
    ),
    Effect.catch((error) => Deferred.fail(broken, error)),
    Effect.forkScoped
  )

  /** Ctrl-C stops the answer first; while there is none it leaves. */
  const cancels = yield* Queue.sliding<void>(1)
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Queue.take(cancels), obey(room, "/cancel"))))
  let isCancelling: string | undefined
  yield* signals.intercept(() => {
    const running = talk.running()
    if (running === undefined || running === isCancelling) return false
    isCancelling = running
    Queue.offerUnsafe(cancels, undefined)
    return true
  })

  const go = (next: Next) => (next === "stay" ? prompt : Deferred.succeed(leaving, next))
  const read = Effect.gen(function* () {
    while (true) {
      const line = yield* lines.take
      if (isUrgent(line, lines.isPerson)) yield* Effect.flatMap(obey(room, line), go)
      else if (!asking.offer(line)) yield* Queue.offer(inLine, line)
    }
  }).pipe(Effect.catch(() => Queue.end(inLine)))
  const answer = Effect.gen(function* () {
    let next: Next = "stay"
    while (next === "stay") {
      yield* prompt
      next = yield* Effect.flatMap(Queue.take(inLine), (line) => obey(room, line))
    }
    return next
  }).pipe(Effect.catch(() => Effect.succeed<Next>("leave")))

  yield* Effect.raceFirst(Deferred.await(listening), Deferred.await(broken))
  yield* Effect.forkScoped(read)
  for (const sub of session.subSessions) yield* talk.join(sub)
  for (const permission of yield* espalier.ListPermissions({ sessionId })) yield* asked.request(permission)
  for (const question of yield* espalier.ListQuestions({ sessionId })) yield* wanted.request(question)
  const goodbye = Effect.suspend(() => {
    if (hasEnded) return Effect.void
    const work = talk.running() === undefined ? "" : `, and what it is at goes on${embedded ? " then" : ""}`
    const how = `${command} chat ${sessionId}${embedded ? " --embedded" : ""}`
    return Effect.andThen(screen.endLine, screen.note(`the session stays${work}; go on with: ${how}`))
  })
  return yield* Effect.raceAllFirst([answer, Deferred.await(leaving), Deferred.await(broken)]).pipe(
    Effect.onExit((exit) => (Exit.isSuccess(exit) ? (exit.value === "leave" ? goodbye : Effect.void) : goodbye))
  )
}, Effect.scoped)

export const chat = Command.make(
  "chat",
  {
    session: Argument.String("session").pipe(
      Argument.withSchema(SessionId),
      Argument.withDescription('Go on with this session (default: a new one); see "espalier session list"'),
      Argument.optional
    ),
    continued: Flag.Boolean("continue").pipe(
      Flag.withAlias("c"),
      Flag.withDescription("Go on with the session that was used last"),
      Flag.withDefault(false)
    ),
    title: Flag.String("title").pipe(Flag.withDescription("What a new session is about"), Flag.optional),
    agentType: Flag.String("agent").pipe(Flag.withDescription("The type of agent of a new session"), Flag.optional),
    directory: directoryFlag,
    mcp: mcpFlag
  },
  ({ continued, directory, mcp, session: asked, ...about }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const { json } = yield* root
        if (json) {
          return yield* new UsageError({ message: 'chat is for people; programs use "espalier run --json"' })
        }
        const place = yield* directoryOf(directory)
        const open = (sessionId: SessionId | undefined) =>
          sessionId === undefined
            ? espalier.StartSession({ title: UNTITLED, ...given(about), ...place, ...seenBy(mcp) })
            : espalier.GetSession({ sessionId })
        const wanted = Option.isNone(asked) && continued ? (yield* newest({ espalier }, 1))[0]?.id : undefined
        let session = yield* open(Option.getOrUndefined(asked) ?? wanted)
        let messages = yield* past.read(espalier, session)
        const lines = yield* Lines.make(past.typed(messages))
        const input: Input = { lines, inLine: yield* Queue.bounded<string, Cause.Done>(WAITING) }
        const { screen } = lines
        while (true) {
          yield* past.show(screen, messages)
          yield* screen.note(`session ${session.id}; /help shows what else there is`)
          if (session.status === "ended") {
            return yield* screen.note(
              `it has ended: it can be read, and takes nothing more; "${command} chat" begins a new one`
            )
          }
          yield* showModel({ espalier, screen })
          yield* mcpServers.show(espalier, screen)
          const next: Next = yield* converse(espalier, session, input)
          if (next === "leave" || next === "stay") return
          session = yield* open(next.open)
          messages = yield* past.read(espalier, session)
        }
      }).pipe(Effect.scoped)
    )
).pipe(
  Command.withDescription("Talk to a model in a session: Ctrl-C stops its answer first, and leaves after that"),
  Command.withExamples([
    { command: "espalier chat", description: "A new session" },
    { command: "espalier chat --continue", description: "Go on where you were" },
    { command: "espalier chat --embedded --mcp-config .mcp.json", description: "Without a server" }
  ])
)
