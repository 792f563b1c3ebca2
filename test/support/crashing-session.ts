// A whole runtime on the directory it is given, whose session is sent the same messages each time. It kills itself at
// the given step of its work when it comes there for the nth time; without one it goes on until all is answered.
// Each tool run is noted in the file `ledger`, which no crash takes back.
import { Effect, Layer, References, Schema, Stream } from "effect"
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs"
import { join } from "node:path"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import type { ToolClass } from "../../services/tools/ToolClass.ts"
import * as Tool from "../../services/tools/Tool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { steppedBus } from "./steppedBus.ts"

const [directory = "", point = "", nth = "0"] = process.argv.slice(2)
const ledger = openSync(join(directory, "ledger"), "a")

let left = Number(nth)
const reach = (step: string): void => {
  if (step === point && --left === 0) process.kill(process.pid, "SIGKILL")
}

const tool = (name: string, weight: "fast" | "heavy", classes: ReadonlyArray<ToolClass> = ["read"]) =>
  Tool.make({
    name,
    description: "notes that it ran",
    parameters: Schema.Struct({ n: Schema.Int }),
    result: Schema.String,
    weight,
    classes,
    run: ({ n }) =>
      Effect.sync(() => {
        writeSync(ledger, `${name} ${n}\n`)
        fsyncSync(ledger)
        return "done"
      })
  })

const runtime = Runtime.layerMemory({
  journal: SqlJournal.layerWith({ onStep: reach }).pipe(Layer.provide(Layer.orDie(DataDirectory.layer(directory)))),
  eventBus: steppedBus(reach),
  tools: [tool("note", "fast"), tool("note_heavy", "heavy"), tool("note_asked", "heavy", ["exec"])]
})

const MESSAGES = 8

/** A fast call, a heavy one, one that has to be allowed, and one of a sub-session that has to be allowed at the root. */
const messageOf = (n: number): string => {
  const args = JSON.stringify({ n })
  switch (n % 4) {
    case 0:
      return `/tool note ${args}`
    case 1:
      return `/tool note_heavy ${args}`
    case 2:
      return `/tool note_asked ${args}`
    default:
      return `/tool delegate ${JSON.stringify({ task: `/tool note_asked ${args}` })}`
  }
}

await Effect.runPromise(
  Effect.gen(function* () {
    const sessions = yield* SessionManager
    const events = yield* EventBus
    const sessionId = SessionId.make("ses_crash")
    yield* sessions.start({ sessionId })
    for (let n = 0; n < MESSAGES; n++) {
      yield* sessions.send({ sessionId, messageId: MessageId.make(`msg_${n}`), text: messageOf(n) })
    }
    // Somebody allows whatever is asked, also what was asked before the crash.
    yield* events.subscribe({ topic: Topic.ofSession(sessionId), from: 1 }).pipe(
      Stream.runForEach((delivery) => {
        if (delivery._tag !== "Event" || delivery.event._tag !== "PermissionRequested") return Effect.void
        const { hash, permissionId } = delivery.event
        return Effect.ignore(sessions.resolvePermission({ sessionId, permissionId, hash, decision: "allow" }))
      }),
      Effect.forkChild
    )
    yield* events.subscribe({ topic: Topic.ofSession(sessionId), from: 1 }).pipe(
      Stream.filter((delivery) => delivery._tag === "Event" && delivery.event._tag === "TurnEnded"),
      Stream.take(MESSAGES),
      Stream.runDrain
    )
    writeSync(1, "answered\n")
  }).pipe(Effect.provide(runtime), Effect.provideService(References.MinimumLogLevel, "None"))
)
closeSync(ledger)
