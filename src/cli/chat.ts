import { type Cause, Deferred, Effect, Option, Predicate, Queue, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { writeFile } from "node:fs/promises"
import { resolve } from "node:path"
import type { FollowError } from "../client/follow.ts"
import type { Permission } from "../../services/permission/Permission.ts"
import { visible, visibleJson } from "../../services/permission/visible.ts"
import type { Message } from "../../services/session/Session.ts"
import { generateMessageId, type MessageId, SessionId } from "../../services/session/SessionId.ts"
import { inShort } from "../../services/tools/Tools.ts"
import type * as Client from "../client.ts"
import { UsageError } from "./Failure.ts"
import { given } from "./given.ts"
import { mcpFlag, seenBy } from "./mcpFlag.ts"
import { insist } from "./insist.ts"
import * as Lines from "./Lines.ts"
import { root, withClient } from "./Root.ts"
import { Signals } from "./Signals.ts"
import * as Talk from "./Talk.ts"
import { toMarkdown } from "./transcript.ts"

const help = `/tools          the tools there are
/cancel         stop the answer that is being given (so does Ctrl-C)
/export [FILE]  write the conversation to a Markdown file
/help           this
/quit           leave; the session stays (so does Ctrl-C, or Ctrl-D)`

/** Messages shown of a session that is gone on with. */
const SHOWN = 10
const PAGE = 500
/** Lines that are read ahead. */
const WAITING = 100
/** How long a pipe may take to bring the answer to a question. */
const PATIENCE = "5 minutes"

const allMessages = (espalier: Client.Operation, sessionId: SessionId, from = 0) =>
  Effect.gen(function* () {
    const messages: Array<Message> = []
    let after = from
    while (true) {
      const page = yield* espalier.GetMessages({ sessionId, after, limit: PAGE })
      messages.push(...page)
      const last = page.at(-1)
      if (last === undefined || page.length < PAGE) return messages
      after = last.sequence
    }
  })

const pastOf = (message: Message): string => {
  switch (message._tag) {
    case "UserMessage":
      return `> ${message.text}`
    case "AssistantMessage":
      return message.text
    // ToolMessage
    default:
      return `* ${message.tool}`
  }
}

interface Room {
  readonly espalier: Client.Operation
  readonly sessionId: SessionId
  readonly screen: Talk.Screen
}

const write = ({ espalier, screen, sessionId }: Room, name: string) =>
  Effect.gen(function* () {
    const file = resolve(name === "" ? `${sessionId}.md` : name)
    const session = yield* espalier.GetSession({ sessionId })
    const text = toMarkdown(session, yield* allMessages(espalier, sessionId))
    yield* Effect.tryPromise({
      // What is there already is somebody's.
      try: () => writeFile(file, text, { flag: "wx" }),
      catch: (cause) =>
        new UsageError({
          message:
            Predicate.hasProperty(cause, "code") && cause.code === "EEXIST"
              ? `there is a file ${file} already; name another: /export FILE`
              : `${file} could not be written (${cause instanceof Error ? cause.message : "no reason"}); name another: /export FILE`
        })
    })
    yield* screen.note(`wrote ${file}`)
  })

const listTools = ({ espalier, screen }: Room) =>
  Effect.flatMap(espalier.ListTools(), (tools) =>
    Effect.forEach(tools, ({ description, name }) => screen.note(`${name}  ${inShort(description)}`), {
      discard: true
    })
  )

/** What a command that failed means for the conversation: nothing but a sentence. */
const told = <E extends { readonly message: string }>(screen: Talk.Screen, work: Effect.Effect<void, E>) =>
  Effect.catch(work, ({ message }) => screen.note(`error: ${message}`))

const converse = Effect.fnUntraced(function* (
  espalier: Client.Operation,
  session: { readonly id: SessionId; readonly sequence: number }
) {
  const sessionId = session.id
  const screen = Talk.screen()
  const room: Room = { espalier, sessionId, screen }
  const lines = yield* Lines.make
  const signals = yield* Signals
  const talk = Talk.make(espalier, screen)
  const leaving = yield* Deferred.make<void>()
  const waiting = new Map<MessageId, Deferred.Deferred<Talk.Ended>>()
  const broken = yield* Deferred.make<never, FollowError>()

  const onEnd = (ended: Talk.Ended) =>
    Effect.gen(function* () {
      yield* screen.endLine
      if (ended.failure !== undefined) yield* screen.note(`error: ${ended.failure.message} (${ended.failure.code})`)
      else if (ended.outcome === "cancelled") yield* screen.note("cancelled")
      const asked = ended.messageId === undefined ? undefined : waiting.get(ended.messageId)
      if (asked === undefined) return
      yield* Deferred.succeed(asked, ended)
    })
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
  const isHere = Deferred.succeed(listening, undefined)
  /** Lines that wait for the answer before them. */
  const inLine = yield* Queue.bounded<string, Cause.Done>(WAITING)
  const asked: Array<Permission> = []
  const show = ({ args, classes, path = [], tool }: Permission) =>
    screen.note(
      `${path.length === 0 ? "" : "a sub-session asks: "}may ${visible(tool)} (${classes.join(", ")}) run with ${visibleJson(args)}? [y]es, [n]o, [a]lways in this session`
    )
  const resolve = ({ hash, permissionId }: Permission, line: string) => {
    const word = line.trim().toLowerCase()
    const remember = word === "a" || word === "always"
    const decision = remember || word === "y" || word === "yes" ? "allow" : "deny"
    return told(
      screen,
      Effect.andThen(
        insist(espalier.ResolvePermission({ sessionId, permissionId, hash, decision, remember })),
        screen.note(decision === "allow" ? "allowed" : "denied")
      )
    )
  }
  /** Asks, on a terminal; a pipe has its answer in its next line, or none. */
  const request = (permission: Permission) =>
    Effect.gen(function* () {
      if (asked.some(({ permissionId }) => permissionId === permission.permissionId)) return
      yield* show(permission)
      if (lines.isTerminal) {
        asked.push(permission)
        return yield* lines.ask
      }
      const line = yield* Effect.timeoutOption(Queue.take(inLine), PATIENCE)
      yield* resolve(
        permission,
        Option.getOrElse(line, () => "no")
      )
    }).pipe(Effect.catch(() => resolve(permission, "no")))
  const answerFirst = (line: string) => {
    const permission = asked.shift()
    return permission === undefined ? Effect.void : resolve(permission, line)
  }
  const settle = (permissionId: Permission["permissionId"]) =>
    Effect.sync(() => {
      const index = asked.findIndex((permission) => permission.permissionId === permissionId)
      if (index !== -1) asked.splice(index, 1)
    })

  yield* Talk.deliveries(subscribe, session, "espalier chat", isHere).pipe(
    Stream.runForEach((delivery) =>
      delivery._tag === "Event" && delivery.event._tag === "SessionEnded"
        ? Effect.andThen(
            screen.note(`the session has ended (${delivery.event.reason})`),
            Deferred.succeed(leaving, undefined)
          )
        : delivery._tag === "Event" && delivery.event._tag === "PermissionRequested"
          ? Effect.asVoid(Effect.forkScoped(request(delivery.event)))
          : delivery._tag === "Event" && delivery.event._tag === "PermissionResolved"
            ? settle(delivery.event.permissionId)
            : Effect.flatMap(talk.take(delivery), (ended) => (ended === undefined ? Effect.void : onEnd(ended)))
    ),
    Effect.catch((error) => Deferred.fail(broken, error)),
    Effect.forkScoped
  )

  const cancel = espalier.CancelTurn({ sessionId }).pipe(
    Effect.catchTag("NoTurn", () => screen.note("nothing is being answered")),
    (work) => told(screen, work)
  )
  /** Ctrl-C stops the answer first; while there is none it leaves. */
  const cancels = yield* Queue.sliding<void>(1)
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Queue.take(cancels), cancel)))
  let isCancelling: string | undefined
  yield* signals.intercept(() => {
    const running = talk.running()
    if (running === undefined || running === isCancelling) return false
    isCancelling = running
    Queue.offerUnsafe(cancels, undefined)
    return true
  })

  const send = Effect.fnUntraced(function* (text: string) {
    const messageId = yield* generateMessageId
    const answered = yield* Deferred.make<Talk.Ended>()
    waiting.set(messageId, answered)
    yield* insist(espalier.SendMessage({ sessionId, text, messageId })).pipe(
      Effect.andThen(Deferred.await(answered)),
      Effect.ensuring(Effect.sync(() => waiting.delete(messageId)))
    )
  })

  /** True when it was the last line. */
  const obey = (line: string): Effect.Effect<boolean> => {
    const [name = "", ...rest] = line.trim().split(/\s+/)
    switch (name) {
      case "":
        return Effect.succeed(false)
      case "/quit":
        return Effect.succeed(true)
      case "/help":
        return Effect.as(Effect.forEach(help.split("\n"), screen.note, { discard: true }), false)
      case "/tools":
        return Effect.as(told(screen, listTools(room)), false)
      case "/export":
        return Effect.as(told(screen, write(room, rest.join(" "))), false)
      default:
        return /^\/\w+$/.test(name) && name !== "/tool"
          ? Effect.as(screen.note(`there is no ${name}; /help shows what there is`), false)
          : Effect.as(told(screen, send(line)), false)
    }
  }

  const read = Effect.gen(function* () {
    while (true) {
      const line = yield* lines.take
      // The only one that does not wait for the answer before it.
      if (line.trim() === "/cancel") yield* cancel
      else if (asked.length > 0) yield* answerFirst(line)
      else yield* Queue.offer(inLine, line)
    }
  }).pipe(Effect.catchCause(() => Queue.end(inLine)))
  const answer = Effect.gen(function* () {
    let isLast = false
    while (!isLast) {
      yield* lines.ask
      isLast = yield* Effect.flatMap(Queue.take(inLine), obey)
    }
  }).pipe(Effect.catch(() => Effect.void))

  yield* Effect.raceFirst(Deferred.await(listening), Deferred.await(broken))
  yield* Effect.forkScoped(read)
  for (const permission of yield* espalier.ListPermissions({ sessionId })) yield* Effect.forkScoped(request(permission))
  yield* Effect.raceAllFirst([answer, Deferred.await(leaving), Deferred.await(broken)])
  yield* screen.note(`the session stays; go on with: espalier chat ${sessionId}`)
}, Effect.scoped)

const showPast = (room: Room, sequence: number) =>
  Effect.gen(function* () {
    const { espalier, screen, sessionId } = room
    const messages = yield* allMessages(espalier, sessionId, Math.max(0, sequence - 5 * SHOWN))
    for (const message of messages.slice(-SHOWN)) yield* screen.write(`${pastOf(message)}\n`)
  })

export const chat = Command.make(
  "chat",
  {
    session: Argument.String("session").pipe(
      Argument.withSchema(SessionId),
      Argument.withDescription('Go on with this session (default: a new one); see "espalier session list"'),
      Argument.optional
    ),
    title: Flag.String("title").pipe(Flag.withDescription("What a new session is about"), Flag.optional),
    mcp: mcpFlag
  },
  ({ mcp, session: asked, title }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        const { json } = yield* root
        if (json) {
          return yield* new UsageError({ message: 'chat is for people; programs use "espalier run --json"' })
        }
        const screen = Talk.screen()
        const session = yield* Option.match(asked, {
          onNone: () => espalier.StartSession({ title: "chat", ...given({ title }), ...seenBy(mcp) }),
          onSome: (sessionId) => espalier.GetSession({ sessionId })
        })
        if (Option.isSome(asked)) yield* showPast({ espalier, sessionId: session.id, screen }, session.sequence)
        yield* screen.note(`session ${session.id}; /help shows what else there is`)
        yield* converse(espalier, session)
      })
    )
).pipe(Command.withDescription("Talk to a model in a session: Ctrl-C stops its answer first, and leaves after that"))
