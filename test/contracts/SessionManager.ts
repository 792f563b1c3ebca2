/** What every `SessionManager` promises. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, type Layer, Schema } from "effect"
import type { EventBus } from "../../services/events/EventBus.ts"
import type { Journal } from "../../services/journal/Journal.ts"
import type { Registry } from "../../services/registry/Registry.ts"
import { Registry as RegistryService } from "../../services/registry/Registry.ts"
import { Message, Session } from "../../services/session/Session.ts"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { eventsOf, is, type SessionWorld, tagsOf, until } from "../support/SessionWorld.ts"
import { SessionWorld as World } from "../support/SessionWorld.ts"

type Around = SessionManager | EventBus | Journal | Registry | WorkerPool | SessionWorld

/** The layer answers with the offline model and has the tools of `SessionWorld`. */
export const sessionManagerContract = (layer: Layer.Layer<Around, unknown>) => {
  const promises = <E>(name: string, test: Effect.Effect<void, E, Around>) =>
    it.effect(name, () => Effect.provide(test, layer, { local: true }))

  describe("SessionManager contract", () => {
    promises(
      "starts a session that can be looked at and listed",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const session = yield* manager.start({ title: "first", metadata: { owner: "ann" } })
        assert.strictEqual(session.title, "first")
        assert.strictEqual(session.status, "idle")
        assert.deepStrictEqual(yield* manager.get(session.id), session)
        assert.isTrue(Schema.is(Session)(session))
        const listed = yield* manager.list({ limit: 10 })
        assert.deepStrictEqual(
          listed.map(({ id, metadata }) => [id, metadata]),
          [[session.id, { owner: "ann" }]]
        )
      })
    )

    promises(
      "returns the live session of an id that is started again",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const sessionId = SessionId.make("ses_mine")
        const both = yield* Effect.all(
          [manager.start({ sessionId, title: "a" }), manager.start({ sessionId, title: "b" })],
          {
            concurrency: 2
          }
        )
        assert.deepStrictEqual(
          both.map(({ title }) => title),
          ["a", "a"]
        )
        assert.deepStrictEqual(tagsOf(yield* eventsOf(sessionId)), ["SessionStarted"])
      })
    )

    promises(
      "answers a message, one turn for each",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        const ack = yield* manager.send({ sessionId: id, text: "hello" })
        assert.strictEqual(ack.sequence, 2)
        yield* until(id, is("TurnEnded"))
        const messages = yield* manager.messages({ sessionId: id, after: 0, limit: 10 })
        assert.deepStrictEqual(
          messages.map(({ _tag }) => _tag),
          ["UserMessage", "AssistantMessage"]
        )
        assert.isTrue(messages.every(Schema.is(Message)))
        assert.strictEqual((yield* manager.get(id)).messages, 2)
      })
    )

    promises(
      "acknowledges a repeated message with its first place and does not repeat it",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        const messageId = MessageId.make("msg_same")
        const first = yield* manager.send({ sessionId: id, text: "hello", messageId })
        yield* until(id, is("TurnEnded"))
        const again = yield* manager.send({ sessionId: id, text: "hello", messageId })
        assert.deepStrictEqual(again, first)
        const received = tagsOf(yield* eventsOf(id)).filter((tag) => tag === "MessageReceived")
        assert.strictEqual(received.length, 1)
      })
    )

    promises(
      "refuses a message when as many wait as the mailbox takes, and loses none of those it took",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const world = yield* World
        const { id } = yield* manager.start({})
        yield* manager.send({ sessionId: id, text: "/tool wait_once" })
        for (let i = 0; i < 100; i++) yield* manager.send({ sessionId: id, text: `${i}` })
        const refusal = yield* Effect.flip(manager.send({ sessionId: id, text: "one too many" }))
        assert.strictEqual(refusal._tag, "MailboxFull")
        assert.strictEqual((yield* manager.get(id)).queued, 100)
        yield* Deferred.succeed(world.gate("wait_once"), "done")
        yield* ended(id, 101)
        assert.strictEqual((yield* manager.get(id)).status, "idle")
      })
    )

    promises(
      "runs a tool that a message asks for and shows its result",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        yield* manager.send({ sessionId: id, text: '/tool echo {"text":"hello from a tool"}' })
        yield* until(id, is("TurnEnded"))
        const [, call, answer] = yield* manager.messages({ sessionId: id, after: 0, limit: 10 })
        assert.deepInclude(call, {
          _tag: "ToolMessage",
          tool: "echo",
          outcome: { _tag: "ToolCompleted", result: "hello from a tool" }
        })
        assert.include(answer?._tag === "AssistantMessage" ? answer.text : "", "hello from a tool")
      })
    )

    promises(
      "runs a heavy tool of a message on the pool and waits for it",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const world = yield* World
        const { id } = yield* manager.start({})
        yield* manager.send({ sessionId: id, text: "/tool wait_heavy" })
        const { workerId } = yield* until(id, is("ToolCallRequested"))
        assert.isDefined(workerId)
        assert.deepStrictEqual((yield* manager.get(id)).workers, [workerId])
        yield* Deferred.succeed(world.gate("wait_heavy"), "analysed")
        yield* until(id, is("TurnEnded"))
        assert.deepStrictEqual((yield* manager.get(id)).workers, [])
        const answer = (yield* manager.messages({ sessionId: id, after: 0, limit: 10 })).at(-1)
        assert.include(answer?._tag === "AssistantMessage" ? answer.text : "", "analysed")
      })
    )

    promises(
      "settles what a tool cannot do as a failure that says why, and goes on",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const expected = {
          "/tool nothing_such": "tool_not_found",
          '/tool echo {"text":1}': "invalid_input",
          "/tool failing": "no_luck",
          "/tool broken": "tool_crashed"
        }
        for (const [text, code] of Object.entries(expected)) {
          const { id } = yield* manager.start({})
          yield* manager.send({ sessionId: id, text })
          const { outcome } = yield* until(id, is("ToolCallSettled"))
          assert.strictEqual(outcome._tag === "ToolFailed" ? outcome.failure.code : outcome._tag, code)
          assert.strictEqual((yield* until(id, is("TurnEnded"))).outcome, "completed")
        }
      })
    )

    promises(
      "asks before it runs what a person has to allow, and runs it or not as the person says",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const world = yield* World
        for (const decision of ["allow", "deny"] as const) {
          const { id } = yield* manager.start({})
          yield* manager.send({ sessionId: id, text: '/tool shell {"text":"hello"}' })
          yield* until(id, is("PermissionRequested"))
          assert.strictEqual((yield* manager.get(id)).status, "awaiting_permission")
          assert.deepStrictEqual(world.runs, decision === "allow" ? [] : ["shell"])
          const [asked, ...others] = yield* manager.permissions(id)
          assert.strictEqual(others.length, 0)
          if (asked === undefined) return assert.fail("nothing is asked")
          const { hash, permissionId } = asked
          assert.deepInclude(asked, { tool: "shell", args: { text: "hello" }, classes: ["exec"] })
          yield* manager.resolvePermission({ sessionId: id, permissionId, decision, hash })
          const { outcome } = yield* until(id, is("ToolCallSettled"))
          assert.strictEqual(outcome._tag, decision === "allow" ? "ToolCompleted" : "ToolFailed")
          yield* ended(id, 1)
          assert.strictEqual((yield* manager.get(id)).status, "idle")
          const again = yield* Effect.flip(manager.resolvePermission({ sessionId: id, permissionId, decision, hash }))
          assert.strictEqual(again._tag, "PermissionAlreadyResolved")
        }
        assert.deepStrictEqual(world.runs, ["shell"])
      })
    )

    promises(
      "has its person answer what an MCP server asks, once and with what fits",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        yield* manager.send({ sessionId: id, text: "/tool asks" })
        yield* until(id, is("QuestionAsked"))
        assert.strictEqual((yield* manager.get(id)).status, "awaiting_permission")
        const [asked] = yield* manager.questions(id)
        if (asked === undefined) return assert.fail("nothing is asked")
        const reply = { sessionId: id, questionId: asked.questionId, action: "accept" } as const
        const refused = yield* Effect.flip(manager.answerQuestion({ ...reply, content: { colour: "blue" } }))
        assert.strictEqual(refused._tag, "InvalidInput")
        assert.deepStrictEqual(yield* manager.questions(id), [asked])
        yield* manager.answerQuestion({ ...reply, content: { colour: "green" } })
        const { outcome } = yield* until(id, is("ToolCallSettled"))
        assert.include(JSON.stringify(outcome), "green")
        yield* ended(id, 1)
        const again = yield* Effect.flip(manager.answerQuestion({ ...reply, action: "decline" }))
        assert.strictEqual(again._tag, "QuestionAlreadySettled")
        assert.deepInclude(yield* manager.get(id), { status: "idle", questions: [] })
      })
    )

    promises(
      "asks nobody in a session that is unattended, and for nothing that its rules allow or deny",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const expected = [
          [{ mode: "unattended" }, "permission_required"],
          [{ rules: [{ class: "exec", decision: "deny" }] }, "permission_denied"],
          [{ rules: [{ tool: "sh*", decision: "allow" }] }, undefined],
          [{ mode: "unattended", rules: [{ tool: "sh*", decision: "allow" }] }, undefined]
        ] as const
        for (const [permissions, code] of expected) {
          const { id } = yield* manager.start({ permissions })
          yield* manager.send({ sessionId: id, text: "/tool shell" })
          const { outcome } = yield* until(id, is("ToolCallSettled"))
          assert.strictEqual(outcome._tag === "ToolFailed" ? outcome.failure.code : undefined, code)
        }
      })
    )

    promises(
      "cancels a turn with its tools and its workers, and goes on with the next message",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const pool = yield* WorkerPool
        for (const text of ["/tool wait_once", "/tool wait_heavy"]) {
          const { id } = yield* manager.start({})
          yield* manager.send({ sessionId: id, text })
          const { workerId } = yield* until(id, is("ToolCallRequested"))
          yield* manager.send({ sessionId: id, text: "next" })
          yield* manager.cancelTurn(id)
          const events = yield* eventsOf(id)
          const over = events.find(({ event }) => event._tag === "TurnEnded")?.event
          assert.strictEqual(over?._tag === "TurnEnded" ? over.outcome : undefined, "cancelled")
          const settled = events.find(({ event }) => event._tag === "ToolCallSettled")?.event
          assert.strictEqual(settled?._tag === "ToolCallSettled" ? settled.outcome._tag : undefined, "ToolCancelled")
          if (workerId !== undefined) assert.strictEqual((yield* pool.get(workerId)).status, "cancelled")
          yield* ended(id, 2)
        }
      })
    )

    promises(
      "says that there is no turn to cancel",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        assert.strictEqual((yield* Effect.flip(manager.cancelTurn(id)))._tag, "NoTurn")
      })
    )

    promises(
      "stops a session with all that it runs; its end is the last that is told of it",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const pool = yield* WorkerPool
        const registry = yield* RegistryService
        const { id } = yield* manager.start({})
        const run = yield* manager.runTool({ sessionId: id, tool: "wait_heavy", args: {} })
        yield* manager.send({ sessionId: id, text: "/tool wait_once" })
        yield* until(id, is("ToolCallRequested"))
        yield* manager.send({ sessionId: id, text: "never answered" })
        yield* manager.stop(id, "enough")
        assert.strictEqual("workerId" in run && (yield* pool.get(run.workerId)).status, "cancelled")
        assert.deepStrictEqual(tagsOf(yield* eventsOf(id)).slice(-2), ["TurnEnded", "SessionEnded"])
        const session = yield* manager.get(id)
        assert.deepInclude(session, { status: "ended", queued: 0, workers: [] })
        assert.strictEqual((yield* Effect.flip(manager.send({ sessionId: id, text: "x" })))._tag, "SessionHasEnded")
        assert.strictEqual((yield* Effect.flip(manager.start({ sessionId: id })))._tag, "SessionHasEnded")
        yield* manager.stop(id)
        yield* Effect.yieldNow
        assert.strictEqual((yield* registry.find({ session: id })).length, 0)
      })
    )

    promises(
      "runs a person's fast tool and hands back its result or its failure, journaled first",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        const run = yield* manager.runTool({ sessionId: id, tool: "echo", args: { text: "hi" } })
        assert.deepStrictEqual(run, { result: "hi" })
        const failure = yield* Effect.flip(manager.runTool({ sessionId: id, tool: "failing", args: {} }))
        assert.deepInclude(failure, { _tag: "ToolFailure", code: "no_luck" })
        assert.deepStrictEqual(tagsOf(yield* eventsOf(id)), [
          "SessionStarted",
          "ToolCallRequested",
          "ToolCallSettled",
          "ToolCallRequested",
          "ToolCallSettled"
        ])
      })
    )

    promises(
      "refuses a person's call of no tool, or with arguments that do not fit, and changes nothing",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        const run = (tool: string, args: Schema.Json) => Effect.flip(manager.runTool({ sessionId: id, tool, args }))
        assert.strictEqual((yield* run("nothing_such", {}))._tag, "ToolNotFound")
        assert.strictEqual((yield* run("echo", { text: 1 }))._tag, "InvalidInput")
        assert.deepStrictEqual(tagsOf(yield* eventsOf(id)), ["SessionStarted"])
      })
    )

    promises(
      "tells the end of a person's worker once",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const world = yield* World
        const { id } = yield* manager.start({})
        const run = yield* manager.runTool({ sessionId: id, tool: "wait_heavy", args: {} })
        assert.isTrue("workerId" in run)
        yield* Deferred.succeed(world.gate("wait_heavy"), "done")
        const { outcome } = yield* until(id, is("ToolCallSettled"))
        assert.deepStrictEqual(outcome, { _tag: "ToolCompleted", result: "done" })
        assert.strictEqual(tagsOf(yield* eventsOf(id)).filter((tag) => tag === "ToolCallSettled").length, 1)
      })
    )

    promises(
      "changes title and labels, and says so to those who watch",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({ title: "old", metadata: { a: "1" } })
        const changed = yield* manager.update(id, { title: "new" })
        assert.deepInclude(changed, { title: "new", metadata: { a: "1" } })
        yield* until(id, is("SessionUpdated"))
        const registry = yield* RegistryService
        yield* manager.update(id, { metadata: { owner: "bob" } })
        const [agent] = yield* registry.find({ session: id })
        assert.deepStrictEqual(agent?.metadata, { owner: "bob", agentType: "default" })
      })
    )

    promises(
      "knows no session that was never started",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const sessionId = SessionId.make("ses_nobody")
        const errors = yield* Effect.all([
          Effect.flip(manager.get(sessionId)),
          Effect.flip(manager.send({ sessionId, text: "x" })),
          Effect.flip(manager.stop(sessionId)),
          Effect.flip(manager.messages({ sessionId, after: 0, limit: 1 }))
        ])
        assert.deepStrictEqual(new Set(errors.map(({ _tag }) => _tag)), new Set(["SessionNotFound"]))
      })
    )

    promises(
      "lists messages page by page, each call with its outcome",
      Effect.gen(function* () {
        const manager = yield* SessionManager
        const { id } = yield* manager.start({})
        for (let i = 0; i < 5; i++) yield* manager.runTool({ sessionId: id, tool: "echo", args: { text: `${i}` } })
        const seen: Array<Schema.Json | undefined> = []
        let after = 0
        while (true) {
          const page = yield* manager.messages({ sessionId: id, after, limit: 2 })
          for (const message of page) if (message._tag === "ToolMessage") seen.push(message.outcome)
          const last = page.at(-1)
          if (last === undefined) break
          after = last.sequence
        }
        assert.deepStrictEqual(
          seen,
          [0, 1, 2, 3, 4].map((i) => ({ _tag: "ToolCompleted", result: `${i}` }))
        )
      })
    )
  })
}

/** Returns when that many turns have ended. */
export const ended = (id: SessionId, turns: number) => {
  let left = turns
  return until(id, (event): event is Extract<typeof event, { readonly _tag: "TurnEnded" }> => {
    if (event._tag === "TurnEnded") left--
    return event._tag === "TurnEnded" && left === 0
  })
}
