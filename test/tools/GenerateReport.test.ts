import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import * as GenerateReport from "../../layers/tools/GenerateReport.ts"
import type { DurableEvent } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { StorageUnavailable } from "../../services/journal/StorageError.ts"
import { CallId, MessageId, SessionId, TurnId } from "../../services/session/SessionId.ts"
import { SessionReport } from "../../services/tools/SessionReport.ts"
import { fold, summarize, type Worker } from "../../services/worker/Worker.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"
import { callTool } from "../support/callTool.ts"

const sessionId = SessionId.make("ses_report")
const turnId = TurnId.make("turn_1")

const report = (id: string = sessionId) =>
  Effect.flatMap(GenerateReport.make, (tool) => callTool(tool, SessionReport, { sessionId: id }))

/** Appends in batches, each event a second after the one before. */
const write = (events: ReadonlyArray<DurableEvent>, after = 0) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const stream = Topic.ofSession(sessionId)
    let sequence = after
    for (const event of events) {
      yield* journal.append([{ stream, after: sequence++, events: [event], open: true, summary: "{}" }])
      yield* TestClock.adjust("1 second")
    }
  })

const writeWorker = (id: string, events: ReadonlyArray<DurableEvent>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const stream = Topic.ofWorker(WorkerId.make(id))
    let worker: Worker | undefined
    for (const [after, event] of events.entries()) {
      const at = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      worker = fold(worker, { topic: stream, sequence: after + 1, at, event })
      const summary = worker === undefined ? "{}" : JSON.stringify(summarize(worker))
      yield* journal.append([{ stream, after, events: [event], open: true, summary }])
      yield* TestClock.adjust("2 seconds")
    }
  })

const started: DurableEvent = { _tag: "SessionStarted", title: "A | title", agentType: "main", metadata: {} }
const received = (text: string): DurableEvent => ({ _tag: "MessageReceived", messageId: MessageId.make("msg_1"), text })
const requested = (id: string, tool: string, workerId?: string): DurableEvent => ({
  _tag: "ToolCallRequested",
  callId: CallId.make(`call_${id}`),
  tool,
  args: {},
  ...(workerId !== undefined && { workerId: WorkerId.make(workerId) })
})
const queued = (id: string): DurableEvent => ({
  _tag: "WorkerQueued",
  workerId: WorkerId.make(id),
  sessionId,
  callId: CallId.make("call_3"),
  tool: "analyze_codebase",
  args: {},
  idempotent: true,
  limits: { deadline: 1, hardCap: 1 }
})

describe("generate_report", () => {
  it.effect("tells messages, turns, tools, workers, durations and failures", () =>
    Effect.gen(function* () {
      const failure = { code: "path_not_found", message: "/x does not exist | check" }
      yield* write([
        started,
        received("look at *this* <script>"),
        { _tag: "TurnStarted", turnId, messageId: MessageId.make("msg_1") },
        requested("1", "fast"),
        { _tag: "ToolCallSettled", callId: CallId.make("call_1"), outcome: { _tag: "ToolCompleted", result: 1 } },
        requested("2", "fast"),
        {
          _tag: "ToolCallSettled",
          callId: CallId.make("call_2"),
          outcome: { _tag: "ToolFailed", failure }
        },
        requested("3", "analyze_codebase", "wrk_1"),
        { _tag: "MessageSettled", turnId, messageId: MessageId.make("msg_2"), text: "done", partial: false },
        { _tag: "TurnEnded", turnId, outcome: "failed", failure: { code: "model_failed", message: "no answer" } }
      ])
      yield* writeWorker("wrk_1", [
        queued("wrk_1"),
        { _tag: "WorkerStarted", attempt: 2 },
        { _tag: "WorkerCompleted", result: 1 }
      ])
      const found = yield* report()
      assert.deepInclude(found, {
        title: "A | title",
        events: 10,
        messages: { user: 1, assistant: 1 },
        turns: { completed: 0, cancelled: 0, failed: 1, running: 0 },
        workerCount: 1,
        failureCount: 2
      })
      assert.deepStrictEqual(found.tools, [
        {
          tool: "fast",
          calls: 2,
          completed: 1,
          failed: 1,
          cancelled: 0,
          interrupted: 0,
          unsettled: 0,
          duration: 2_000
        },
        {
          tool: "analyze_codebase",
          calls: 1,
          completed: 0,
          failed: 0,
          cancelled: 0,
          interrupted: 0,
          unsettled: 1,
          duration: 0
        }
      ])
      assert.deepStrictEqual(found.workers, [
        {
          workerId: WorkerId.make("wrk_1"),
          tool: "analyze_codebase",
          status: "completed",
          attempts: 2,
          waited: 2_000,
          worked: 2_000
        }
      ])
      assert.deepStrictEqual(
        found.failures.map(({ failure, subject }) => [subject, failure.code]),
        [
          ["fast", "path_not_found"],
          ["turn", "model_failed"]
        ]
      )
      for (const text of [
        String.raw`A \| title`,
        "1 message from the user, 1 from the assistant",
        "| fast | 2 | 1 | 1 |",
        "| wrk\\_1 | analyze\\_codebase | completed | 2 | 2.0 s | 2.0 s |",
        String.raw`/x does not exist \| check`,
        String.raw`look at \*this\* \<script\>`
      ]) {
        assert.include(found.report, text)
      }
    }).pipe(Effect.provide(MemoryJournal.layer()))
  )

  it.effect("stays bounded over a session of any length", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const stream = Topic.ofSession(sessionId)
      yield* journal.append([{ stream, after: 0, events: [started], open: true, summary: "{}" }])
      for (let round = 0; round < 300; round++) {
        const events = Array.from({ length: 10 }, (_, index): readonly [DurableEvent, DurableEvent] => [
          received(`${"x".repeat(5_000)}${round}`),
          requested(`${round}_${index}`, `tool_${round}_${index}`, `wrk_${round}_${index}`)
        ]).flat()
        const [first, ...rest] = events
        if (first === undefined) return
        yield* journal.append([{ stream, after: 1 + round * 20, events: [first, ...rest], open: true, summary: "{}" }])
      }
      const found = yield* report()
      assert.deepStrictEqual([found.events, found.messages.user, found.workerCount], [6_001, 3_000, 3_000])
      assert.deepStrictEqual([found.tools.length, found.workers.length], [100, 100])
      assert.strictEqual(
        found.tools.reduce((calls, use) => calls + use.calls, 0),
        3_000
      )
      assert.isBelow(JSON.stringify(found).length, 200_000)
    }).pipe(Effect.provide(MemoryJournal.layer()))
  )

  it.effect("says that there is no such session, and when the journal cannot be read", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(report("ses_unknown")).pipe(Effect.provide(MemoryJournal.layer()))
      assert.strictEqual(missing.code, "session_not_found")
      const broken = Layer.mock(Journal, { read: () => Effect.fail(new StorageUnavailable({ detail: "locked" })) })
      assert.strictEqual((yield* Effect.flip(report()).pipe(Effect.provide(broken))).code, "storage_unavailable")
    })
  )
})
