/** What may become of questions, whatever is said of them in whatever order. */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import { MAX_OPEN, QuestionAction, QuestionEnd, QuestionId } from "../../services/question/Question.ts"
import { Command, decide } from "../../services/session/decide.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { nothing } from "../../services/session/Budget.ts"
import { CallId, SessionId } from "../../services/session/SessionId.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import { assertLaws } from "../support/sessionLaws.ts"

/** One of those that there were. */
const Which = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000 }))
const Step = Schema.Union([
  // Most of the time something new begins: so there is something to end.
  Schema.Struct({ _tag: Schema.Literals(["call", "ask", "ask", "ask", "relay", "relay"]) }),
  Schema.Struct({ _tag: Schema.Literals(["expire early", "expire", "withdraw", "settle"]), which: Which }),
  Schema.Struct({ _tag: Schema.Literal("answer"), which: Which, action: QuestionAction, isTheirs: Schema.Boolean }),
  Schema.Struct({ _tag: Schema.Literal("follow"), which: Which, action: QuestionEnd })
])

const sessionId = SessionId.make("ses_1")
const sub = SessionId.make("ses_2")
const expiresAt = 1_000

/** What was there, and what is new, by number. */
const commandOf = (step: typeof Step.Type, questions: number, calls: number): Command => {
  const number = (there: number) => ("which" in step ? step.which % Math.max(1, there) : there)
  const questionId = QuestionId.make(`ques_${number(questions)}`)
  const callId = CallId.make(`call_${number(calls)}`)
  const question = { questionId, server: "paint", message: "?", schema: {}, expiresAt }
  switch (step._tag) {
    case "ask":
      return Command.AskQuestion({ question })
    case "relay":
      return Command.RelayQuestion({ question: { ...question, path: [sub] } })
    case "expire early":
      return Command.ExpireQuestion({ questionId, now: expiresAt - 1 })
    case "expire":
      return Command.ExpireQuestion({ questionId, now: expiresAt })
    case "withdraw":
      return Command.WithdrawQuestion({ questionId })
    case "answer": {
      const person = step.isTheirs ? "local" : "mallory"
      return Command.AnswerQuestion({ questionId, action: step.action, content: {}, person, now: 1 })
    }
    case "follow":
      return Command.FollowQuestion({ told: { _tag: "QuestionSettled", questionId, action: step.action } })
    case "call":
      return Command.RequestCall({ call: { callId, tool: "paint", args: {} } })
    // settle
    default:
      return Command.SettleCall({ callId, outcome: { _tag: "ToolCancelled" } })
  }
}

const begun: ReadonlyArray<SessionEvent> = [
  { _tag: "SessionStarted", title: "", agentType: "default", metadata: {} },
  { _tag: "SubSessionStarted", sessionId: sub, index: 0, agentType: "default" }
]

class Session {
  readonly events: Array<SessionEvent> = []
  state: SessionState | undefined

  constructor() {
    for (const event of begun) this.add(event)
  }

  add(event: SessionEvent): void {
    this.events.push(event)
    const recorded = { topic: Topic.ofSession(sessionId), sequence: this.events.length, at: 0, event }
    this.state = fold(this.state, recorded)
  }

  count(tag: SessionEvent["_tag"]): number {
    return this.events.filter(({ _tag }) => _tag === tag).length
  }

  take(command: Command): boolean {
    if (this.state === undefined) return assert.fail("it has begun")
    const decision = decide(this.state, command)
    if (Result.isFailure(decision)) return false
    for (const event of decision.success) this.add(event)
    return decision.success.length > 0
  }
}

describe("questions", () => {
  it.prop(
    "are settled exactly once, outlive neither calls nor session, and are never more than may wait",
    [Schema.Array(Step).check(Schema.isMinLength(20), Schema.isMaxLength(80)), Schema.Boolean],
    ([steps, endsSub]) => {
      const session = new Session()
      for (const step of steps) {
        const changed = session.take(
          commandOf(step, session.count("QuestionAsked"), session.count("ToolCallRequested"))
        )
        const { calls = [], questions = { pending: [] } } = session.state ?? {}
        assert.isAtMost(questions.pending.length, MAX_OPEN)
        if (step._tag === "expire early" || (step._tag === "answer" && !step.isTheirs)) assert.isFalse(changed)
        if (calls.length === 0) assert.isTrue(questions.pending.every(({ path }) => path !== undefined))
      }
      if (endsSub) {
        session.take(Command.EndSub({ sessionId: sub, outcome: { _tag: "ToolCancelled" }, spent: nothing }))
        assert.isTrue(session.state?.questions.pending.every(({ path }) => path === undefined))
      }
      session.take(Command.End({ reason: "done", text: undefined }))
      assertLaws(session.events)
      const asked = session.events.flatMap((event) => (event._tag === "QuestionAsked" ? [event.questionId] : []))
      const settled = session.events.flatMap((event) => (event._tag === "QuestionSettled" ? [event.questionId] : []))
      assert.deepStrictEqual(settled.toSorted(), asked.toSorted())
    },
    { arbitrary: { runs: 300 } }
  )

  it("are taken no more than may wait, from servers and from sub-agents alike", () => {
    for (const _tag of ["ask", "relay"] as const) {
      const session = new Session()
      session.take(commandOf({ _tag: "call" }, 0, 0))
      for (let at = 0; at < 2 * MAX_OPEN; at++) session.take(commandOf({ _tag }, at, 0))
      assert.strictEqual(session.count("QuestionAsked"), MAX_OPEN)
    }
  })
})
