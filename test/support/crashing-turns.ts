// A whole runtime on the directory it is given, whose session lives through the day of `turnPrograms.ts`. It kills itself
// at the given step of its work when it comes there for the nth time, and without one it goes on to the session's end,
// telling how often each step was passed. Each tool run is noted in the file `ledger`, which no crash takes back.
import { Effect, Layer, References, Schema, Stream } from "effect"
import { writeSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import * as FileMcpApprovals from "../../layers/mcp/FileMcpApprovals.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import type { ToolClass } from "../../services/tools/ToolClass.ts"
import * as Tool from "../../services/tools/Tool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { Ledger } from "./Ledger.ts"
import * as ModelServer from "./ModelServer.ts"
import { steppedBus } from "./steppedBus.ts"
import { day, isIdempotent, last, STEPS, textOf } from "./turnPrograms.ts"

const [directory = "", url = "", point = "", nth = "0"] = process.argv.slice(2)
const path = join(directory, "ledger")
const ledger = new Ledger(path)

const passed: Record<string, number> = {}
const reach = (step: string): void => {
  passed[step] = (passed[step] ?? 0) + 1
  if (step === point && passed[step] === Number(nth)) process.kill(process.pid, "SIGKILL")
}

const tool = (name: string, weight: "fast" | "heavy", classes: ReadonlyArray<ToolClass> = ["read"]) =>
  Tool.make({
    name,
    description: "notes that it ran",
    parameters: Schema.Struct({
      key: Schema.String,
      pad: Schema.optionalKey(Schema.Int),
      deny: Schema.optionalKey(Schema.Boolean)
    }),
    result: Schema.String,
    weight,
    classes,
    idempotent: isIdempotent(name),
    run: ({ key, pad = 0 }) => {
      const noted = Effect.sync(() => ledger.note(key))
      if (name === "hold") return Effect.andThen(noted, Effect.never)
      // A moment, so that the work of others comes in between.
      return Effect.map(Effect.delay(noted, 5), (line) => `${line} ${"x".repeat(pad)}`)
    }
  })

const dataDirectory = Layer.orDie(DataDirectory.layer(directory))
const server = fileURLToPath(new URL("../fixtures/mcp/noting-server.ts", import.meta.url))

const runtime = Runtime.layerMemory({
  journal: SqlJournal.layerWith({ onStep: reach }).pipe(Layer.provide(dataDirectory)),
  eventBus: steppedBus(reach),
  models: ModelServer.models({ url }),
  mcpApprovals: FileMcpApprovals.layer.pipe(Layer.provide(dataDirectory)),
  mcpServers: {
    noting: {
      command: process.execPath,
      args: [server],
      env: { LEDGER: path },
      espalier: { trust: true, idempotent: ["again"] }
    }
  },
  budget: { steps: STEPS },
  contextTokens: 1_500,
  hibernateAfter: "50 millis",
  tools: [
    tool("fast_again", "fast"),
    tool("fast_once", "fast"),
    tool("heavy_again", "heavy"),
    tool("heavy_once", "heavy"),
    tool("asked_fast", "fast", ["exec"]),
    tool("asked_once", "heavy", ["exec"]),
    tool("asked_again", "heavy", ["exec"]),
    tool("hold", "fast")
  ]
})

const sessionId = SessionId.make("ses_day")
const messageOf = (id: string) => MessageId.make(`msg_${id}`)

const live = Effect.gen(function* () {
  const sessions = yield* SessionManager
  const bus = yield* EventBus
  yield* sessions.start({ sessionId })
  const send = ({ id, program, whenBusy }: (typeof day)[number]) =>
    sessions.send({ sessionId, messageId: messageOf(id), text: textOf(program), whenBusy })
  const first = day.filter(({ id, whenBusy }) => whenBusy === undefined && id !== last)
  yield* Effect.forEach(first, send, { discard: true })

  /** What a person does, whether this is heard now or was journaled before a crash. */
  const attend = Effect.fnUntraced(function* (event: SessionEvent) {
    if (event._tag === "PermissionRequested") {
      const { args, hash, permissionId } = event
      const decision = Schema.is(Schema.Struct({ deny: Schema.Literal(true) }))(args) ? "deny" : "allow"
      yield* sessions.resolvePermission({ sessionId, permissionId, hash, decision })
    }
    if (event._tag !== "ToolCallRequested" || event.tool !== "hold") return
    const { turn } = yield* sessions.get(sessionId)
    if (turn !== event.turnId) return
    const key = (event.args as { readonly key: string }).key
    const next = day[day.findIndex(({ id }) => `hold.${id}` === key) + 1]
    // A moment in which its sub-session gets to work.
    if (next?.whenBusy === undefined) yield* Effect.delay(sessions.cancelTurn(sessionId), 25)
    else yield* send(next)
  })
  const events = bus
    .subscribe({ topic: Topic.ofSession(sessionId), from: 1 })
    .pipe(Stream.flatMap((delivery) => (delivery._tag === "Event" ? Stream.succeed(delivery.event) : Stream.empty)))
  yield* events.pipe(
    Stream.runForEach((event) => Effect.forkChild(Effect.ignore(attend(event as SessionEvent)))),
    Effect.forkChild
  )
  const answered = (turns: number) =>
    events.pipe(
      Stream.filter(({ _tag }) => _tag === "TurnEnded"),
      Stream.take(turns),
      Stream.runDrain
    )
  yield* answered(day.length - 1)
  const status = Effect.map(sessions.get(sessionId), ({ status }) => status)
  const isAwake = yield* Effect.map(sessions.messages({ sessionId, after: 0, limit: 1_000 }), (messages) =>
    messages.some((message) => message._tag === "UserMessage" && message.id === messageOf(last))
  )
  if (!isAwake) yield* Effect.repeat(Effect.delay(status, 5), { until: (status) => status === "hibernated" })
  yield* Effect.forEach(
    day.filter(({ id }) => id === last),
    send,
    { discard: true }
  )
  yield* answered(day.length)
  yield* sessions.stop(sessionId)
}).pipe(
  // It came to its end in an earlier life.
  Effect.catchTag("SessionHasEnded", () => Effect.void)
)

await Effect.runPromise(live.pipe(Effect.provide(runtime), Effect.provideService(References.MinimumLogLevel, "None")))
ledger.close()
writeSync(1, JSON.stringify(passed))
