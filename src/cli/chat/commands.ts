/** What can be typed in a chat besides messages. */
import { Clock, Effect, Option, Predicate, Schema } from "effect"
import { existsSync, statSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { resolve } from "node:path"
import { Message } from "../../../services/session/Session.ts"
import { SessionId } from "../../../services/session/SessionId.ts"
import { inShort } from "../../../services/tools/Tools.ts"
import { attach } from "../attachment.ts"
import { UsageError } from "../Failure.ts"
import * as Terminal from "../Terminal.ts"
import { toMarkdown } from "../transcript.ts"
import { allMessages } from "./past.ts"
import { type Room, send, told } from "./Room.ts"

/** What becomes of the chat: another session is opened, a new one or one that there is. */
export type Next = "stay" | "leave" | { readonly open: SessionId | undefined }

interface ChatCommand {
  readonly usage: string
  readonly does: string
  readonly run: (room: Room, rest: string) => Effect.Effect<Next>
}

/** Sessions that are listed. */
const LISTED = 15

const staying = <E extends { readonly message: string }>(room: Room, work: Effect.Effect<void, E>) =>
  Effect.as(told(room, work), "stay" as const)

const cancel = (room: Room) =>
  staying(
    room,
    room.espalier
      .CancelTurn({ sessionId: room.sessionId })
      .pipe(Effect.catchTag("NoTurn", () => room.screen.note("nothing is being answered")))
  )

const encodeMessages = Schema.encodeEffect(Schema.toCodecJson(Schema.Array(Message)))

const exportTo = ({ espalier, screen, sessionId }: Room, rest: string) =>
  Effect.gen(function* () {
    const words = rest.split(/\s+/).filter((word) => word !== "" && word !== "--json")
    const json = rest.split(/\s+/).includes("--json") || /\.json$/i.test(rest)
    const file = resolve(words.length === 0 ? `${sessionId}.${json ? "json" : "md"}` : words.join(" "))
    const session = yield* espalier.GetSession({ sessionId })
    const messages = yield* allMessages(espalier, sessionId)
    const text = json
      ? `${JSON.stringify({ session, messages: yield* Effect.orDie(encodeMessages(messages)) }, null, 2)}\n`
      : toMarkdown(session, messages)
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

const modelText = (models: ReadonlyArray<string>): string => {
  const [first, ...rest] = models
  if (first === undefined) {
    return 'no model is configured: set ESPALIER_MODEL for the server (docs/models.md); tools run by "/tool NAME {json}"'
  }
  const name = first === "own" ? "a model of the program's own" : first
  return `${name} answers${rest.length === 0 ? "" : `; in its place, where it cannot: ${rest.join(", ")}`}`
}

export const showModel = ({ espalier, screen }: Pick<Room, "espalier" | "screen">) =>
  Effect.flatMap(espalier.ListModels(), (models) => screen.note(modelText(models)))

const showUsage = ({ espalier, screen, sessionId }: Room) =>
  Effect.flatMap(espalier.GetSession({ sessionId }), ({ messages, spent }) =>
    screen.note(
      spent === undefined
        ? "the session is out of memory; say something, and it is known again"
        : `${spent.tokens} tokens in ${messages} messages${spent.cost === 0 ? "" : `, cost ${spent.cost.toPrecision(2)}`}`
    )
  )

const isId = Schema.is(SessionId)

/** Those of their own, the one that changed last first. */
export const newest = ({ espalier }: Pick<Room, "espalier">, limit: number) =>
  Effect.map(espalier.ListSessions({ limit: 200 }), (sessions) =>
    sessions
      .filter(({ parent, status }) => parent === undefined && status !== "ended")
      .toSorted((one, other) => other.updatedAt - one.updatedAt)
      .slice(0, limit)
  )

const sessions = (room: Room, rest: string): Effect.Effect<Next> =>
  Effect.gen(function* () {
    if (isId(rest)) return { open: (yield* room.espalier.GetSession({ sessionId: rest })).id }
    const all = yield* newest(room, LISTED)
    const chosen = /^\d+$/.test(rest) ? all[Number(rest) - 1] : undefined
    if (chosen !== undefined) return { open: chosen.id }
    if (rest !== "") {
      return yield* new UsageError({ message: `there is no session ${rest}; /sessions lists them` })
    }
    const now = yield* Clock.currentTimeMillis
    for (const [index, { id, messages, title, updatedAt }] of all.entries()) {
      const here = id === room.sessionId ? ", this one" : ""
      const ago = `${Terminal.duration(now - updatedAt)} ago`
      yield* room.screen.note(
        `${String(index + 1).padStart(2)}  ${id}  ${messages} messages, ${ago}${here}  ${Terminal.plain(title)}`
      )
    }
    yield* room.screen.note("go on with one of them: /sessions NUMBER")
    return "stay" as const
  }).pipe(Effect.catch(({ message }) => Effect.as(room.screen.note(`error: ${message}`), "stay" as const)))

const isFile = (path: string): boolean => existsSync(path) && statSync(path).isFile()

const attachFile = (room: Room, path: string) =>
  Effect.flatMap(attach(path), (attachment) => {
    room.attachments.push(attachment)
    return room.screen.note(`attached ${attachment.name ?? path}`)
  })

/** `@notes/todo.txt` or `@"with spaces"`. */
const mentions = /(?:^|\s)@(?:"([^"\n]+)"|(\S+))/g

/** A message, with the files that it names; `@` before anything else is just that. */
const say = (room: Room, text: string, whenBusy?: "interrupt") =>
  Effect.gen(function* () {
    // What a pipe holds was written by others.
    for (const [, quoted, word] of room.lines.isPerson ? text.matchAll(mentions) : []) {
      const path = quoted ?? word ?? ""
      if (isFile(path)) yield* attachFile(room, path)
    }
    const { answered, isFresh } = yield* send(room, text, whenBusy)
    if (!room.lines.isPerson) return yield* answered
    if (!isFresh && whenBusy === undefined) {
      yield* room.screen.note("it comes after the answer that is being given; /now TEXT does not wait")
    }
  })

const commands: Readonly<Record<string, ChatCommand>> = {
  "/attach": {
    usage: "/attach FILE",
    does: "a text or a picture goes with the next message (so does @FILE in it)",
    run: (room, rest) =>
      staying(
        room,
        rest === "" ? Effect.fail(new UsageError({ message: "name a file: /attach FILE" })) : attachFile(room, rest)
      )
  },
  "/tools": { usage: "/tools", does: "the tools there are", run: (room) => staying(room, listTools(room)) },
  "/cancel": { usage: "/cancel", does: "stop the answer that is being given (so does Ctrl-C)", run: cancel },
  "/now": {
    usage: "/now TEXT",
    does: "stop it, and say this instead",
    run: (room, rest) =>
      staying(
        room,
        rest === ""
          ? Effect.fail(new UsageError({ message: "say something: /now TEXT" }))
          : say(room, rest, "interrupt")
      )
  },
  "/model": { usage: "/model", does: "which model answers", run: (room) => staying(room, showModel(room)) },
  "/usage": { usage: "/usage", does: "tokens, and what they cost", run: (room) => staying(room, showUsage(room)) },
  "/export": {
    usage: "/export [FILE] [--json]",
    does: "write the conversation to a Markdown file, or as JSON",
    run: (room, rest) => staying(room, exportTo(room, rest))
  },
  "/new": { usage: "/new", does: "a new session", run: () => Effect.succeed({ open: undefined }) },
  "/sessions": { usage: "/sessions [NUMBER]", does: "the sessions there are, or go on with one", run: sessions },
  "/help": { usage: "/help", does: "this", run: (room) => Effect.as(help(room), "stay" as const) },
  "/quit": {
    usage: "/quit",
    does: "leave; the session stays (so does Ctrl-C, or Ctrl-D)",
    run: () => Effect.succeed("leave")
  }
}

const help = ({ screen }: Room) =>
  Effect.gen(function* () {
    for (const { does, usage } of Object.values(commands)) yield* screen.note(`${usage.padEnd(24)}${does}`)
    yield* screen.note("A line that ends with \\ goes on in the next one, and so does one ended with Alt-Enter.")
  })

/** The command that a line is; none for a message. */
const commandOf = (line: string): Option.Option<string> => {
  const [name = ""] = line.trim().split(/\s/, 1)
  // What is run by hand is up to the model that there is without one.
  return /^\/\w+$/.test(name) && name !== "/tool" ? Option.some(name) : Option.none()
}

/** Does what a line says. */
export const obey = (room: Room, line: string): Effect.Effect<Next> => {
  const text = line.trim()
  if (text === "") return Effect.succeed("stay")
  return Option.match(commandOf(text), {
    onNone: () => staying(room, say(room, line)),
    onSome: (name) => {
      const command = commands[name]
      return command === undefined
        ? Effect.as(room.screen.note(`there is no ${name}; /help shows what there is`), "stay")
        : command.run(room, text.slice(name.length).trim())
    }
  })
}

/** Those that do not wait for the line before them. */
export const isUrgent = (line: string, isPerson: boolean): boolean => {
  const text = line.trim()
  return text === "/cancel" || (isPerson && text === "/quit")
}
