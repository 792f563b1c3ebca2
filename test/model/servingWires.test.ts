/** A server as people run it over each wire format: killed in the middle of a call and of an answer, and started again. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import * as Client from "../../src/client.ts"
import { busywork, type Server, server } from "../support/CommandLine.ts"
import { inTime } from "../support/eventually.ts"
import { anthropicWire } from "../support/wire/AnthropicWire.ts"
import { environment } from "../support/wire/configuredModel.ts"
import { responsesWire } from "../support/wire/ResponsesWire.ts"
import { call, serve, silence, text, thought } from "../support/wire/Wire.ts"

const eventsUntil = (sessionId: SessionId, tag: RuntimeEvent["_tag"]) =>
  Client.follow(Topic.ofSession(sessionId), { from: 1 }).pipe(
    Stream.flatMap((delivery) => (delivery._tag === "Event" ? Stream.succeed(delivery.event) : Stream.empty)),
    Stream.takeUntil(({ _tag }) => _tag === tag),
    Stream.runCollect
  )

const kill = ({ running }: Server) =>
  Effect.andThen(
    Effect.sync(() => running.process.kill("SIGKILL")),
    Effect.promise(() => running.ended)
  )

describe("a server that is killed in the middle", () => {
  it.live.each([anthropicWire, responsesWire].map((wire) => [wire.provider, wire] as const))(
    "of a call and of an answer goes on over %s with a history that the provider takes",
    ([, wire]) =>
      Effect.gen(function* () {
        const directory = yield* busywork(20)
        const models = yield* serve(wire, (_, index) =>
          index === 0
            ? wire.answer([
                thought("I should look."),
                text("Let me look."),
                call("x1", "analyze_codebase", { path: directory }),
                call("x2", "no_such_tool", {})
              ])
            : [...wire.unfinished([thought("I see."), text("It is larg")]), silence]
        )
        const env = environment(wire, models.url)
        const first = yield* server(undefined, env)
        const id = yield* Effect.gen(function* () {
          const espalier = yield* Client.Client
          const session = yield* espalier.StartSession({})
          yield* espalier.SendMessage({ sessionId: session.id, text: "what is in there?" })
          yield* eventsUntil(session.id, "ToolCallRequested")
          return session.id
        }).pipe(Effect.provide(Client.layer({ url: first.url })))
        yield* kill(first)

        const second = yield* server(first.dataDirectory, env)
        yield* inTime(
          "it answers",
          Effect.sync(() => models.heard.length === 2 && models.requests.open() === 1)
        )
        yield* kill(second)
        yield* inTime(
          "its request is gone",
          Effect.sync(() => models.requests.open() === 0)
        )

        models.follow(() => wire.answer([thought("I see."), text("It is large.")]))
        const third = yield* server(first.dataDirectory, env)
        const events = yield* Effect.provide(eventsUntil(id, "TurnEnded"), Client.layer({ url: third.url }))
        assert.deepStrictEqual(models.mistakes, [])
        assert.deepInclude(events.at(-1), { _tag: "TurnEnded", outcome: "completed" })
        assert.strictEqual(events.filter(({ _tag }) => _tag === "ToolCallSettled").length, 2)
        const [, shown, again] = models.heard
        assert.deepStrictEqual(again?.turns, shown?.turns)
        assert.deepStrictEqual(
          shown?.turns.map((turn) => turn.role),
          ["user", "assistant", "results"]
        )
        const asked = shown?.turns[1]?.role === "assistant" ? shown.turns[1].blocks : []
        const told = shown?.turns[2]?.role === "results" ? shown.turns[2].results : []
        assert.deepStrictEqual(
          asked.map(({ type }) => type),
          ["thought", "text", "call", "call"]
        )
        assert.deepStrictEqual(
          told.map(({ id }) => id),
          asked.flatMap((block) => (block.type === "call" ? [block.id] : []))
        )
        assert.include(told[0]?.text, "files")
        assert.include(told[1]?.text, "tool_not_found")
      }).pipe(Effect.scoped)
  )
})
