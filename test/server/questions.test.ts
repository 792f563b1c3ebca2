/** Questions of MCP servers on a real server that is killed: over by then, told once, and asked anew by the next call. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import * as Client from "../../src/client.ts"
import { server } from "../support/CommandLine.ts"
import { official } from "../support/McpWorld.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const text = "/tool everything__trigger-elicitation-request {}"

/** Events from the beginning to the nth of a kind. */
const until = (sessionId: SessionId, tag: RuntimeEvent["_tag"], nth = 1) =>
  Effect.flatMap(Client.Client, (espalier) => {
    let left = nth
    return espalier.Subscribe({ topic: Topic.ofSession(sessionId), from: 1 }).pipe(
      Stream.filter((delivery) => delivery._tag === "Event"),
      Stream.map(({ event }) => event),
      Stream.takeUntil(({ _tag }) => _tag === tag && --left === 0),
      Stream.runCollect,
      Effect.timeout("60 seconds")
    )
  })

const settledIn = (events: ReadonlyArray<RuntimeEvent>) =>
  events.flatMap((event) => (event._tag === "QuestionSettled" ? [event.action] : []))

describe("a question that waits when the server is killed", () => {
  it.live(
    "is withdrawn at the next start, once, and the session asks and is answered as before",
    () =>
      Effect.gen(function* () {
        const dataDirectory = yield* temporaryDirectory
        const config = join(dataDirectory, ".mcp.json")
        writeFileSync(config, JSON.stringify({ mcpServers: { everything: official("everything") } }))
        const env = { ESPALIER_MCP_CONFIG: config }
        const { questionId, sessionId } = yield* Effect.gen(function* () {
          const { running, url } = yield* server(dataDirectory, env)
          return yield* Effect.gen(function* () {
            const espalier = yield* Client.Client
            // It waits for a server that is seen for the first time.
            yield* espalier.ListTools()
            const { id: sessionId } = yield* espalier.StartSession({})
            yield* espalier.SendMessage({ sessionId, text })
            yield* until(sessionId, "QuestionAsked")
            const [question] = yield* espalier.ListQuestions({ sessionId })
            running.process.kill("SIGKILL")
            yield* Effect.promise(() => running.ended)
            return question === undefined ? assert.fail("nothing is asked") : { ...question, sessionId }
          }).pipe(Effect.provide(Client.layer({ url }), { local: true }))
        }).pipe(Effect.scoped)

        const { url } = yield* server(dataDirectory, env)
        yield* Effect.gen(function* () {
          const espalier = yield* Client.Client
          assert.deepStrictEqual(settledIn(yield* until(sessionId, "TurnEnded")), ["withdrawn"])
          assert.deepInclude(yield* espalier.GetSession({ sessionId }), { status: "idle", questions: [] })
          const late = yield* Effect.flip(espalier.AnswerQuestion({ sessionId, questionId, action: "decline" }))
          assert.strictEqual(late._tag, "QuestionAlreadySettled")

          yield* espalier.SendMessage({ sessionId, text })
          yield* until(sessionId, "QuestionAsked", 2)
          const [again] = yield* espalier.ListQuestions({ sessionId })
          if (again === undefined) return assert.fail("nothing is asked")
          const content = { name: "Ann Private" }
          yield* espalier.AnswerQuestion({ sessionId, questionId: again.questionId, action: "accept", content })
          const events = yield* until(sessionId, "TurnEnded", 2)
          assertLaws(events)
          assert.deepStrictEqual(settledIn(events), ["withdrawn", "accept"])
          const told = JSON.stringify(events.filter(({ _tag }) => _tag === "ToolCallSettled"))
          assert.include(told, "- Name: Ann Private")
          const asked = events.filter(({ _tag }) => _tag === "QuestionAsked" || _tag === "QuestionSettled")
          assert.notInclude(JSON.stringify(asked), "Private")
        }).pipe(Effect.provide(Client.layer({ url }), { local: true }))
      }).pipe(Effect.scoped),
    120_000
  )
})
