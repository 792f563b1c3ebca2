/** What may become of questions, whatever is said of them in whatever order. */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import { MAX_OPEN, QuestionAction, QuestionEnd, QuestionId } from "../../services/question/Question.ts"
import { Command, decide } from "../../services/session/decide.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { CallId, SessionId } from "../../services/session/SessionId.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import { assertLaws } from "../support/sessionLaws.ts"

const Which = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 11 }))
const Step = Schema.Union([
  Schema.Struct({ _tag: Schema.Literals(["ask", "relay", "expire early", "expire", "withdraw"]), which: Which }),
  Schema.Struct({ _tag: Schema.Literal("answer"), which: Which, action: QuestionAction, isTheirs: Schema.Boolean }),
  Schema.Struct({ _tag: Schema.Literal("follow"), which: Which, action: QuestionEnd }),
  Schema.Struct({ _tag: Schema.Literals(["call", "settle", "end sub"]), which: Which })
])

const sessionId = SessionId.make("ses_1")
const sub = SessionId.make("ses_2")
const expiresAt = 1_000

const commandOf = (step: typeof Step.Type): Command => {
  const questionId = QuestionId.make(`ques_${step.which}`)
  const callId = CallId.make(`call_${step.which}`)
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
    case "settle":
      return Command.SettleCall({ callId, outcome: { _tag: "ToolCancelled" } })
    // end sub
    default:
      return Command.EndSub({ sessionId: sub, outcome: { _tag: "ToolCancelled" }, spent: { tokens: 0, cost: 0 } })
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

  take(command: Command): boolean {
    if (this.state === undefined) return assert.fail("it has begun")
    const decision = decide(this.state, command)
    if (Result.isFailure(decision)) return false
    for (const event of decision.success) this.add(event)
    return decision.success.length > 0
  }
}

/** A call has an id of its own, and so has a question: what was there is not asked for again. */
const isRepeated = ({ events }: Session, { _tag, which }: typeof Step.Type): boolean =>
  events.some(
    (event) =>
      (_tag === "call" && event._tag === "ToolCallRequested" && event.callId === `call_${which}`) ||
      (_tag === "ask" && event._tag === "QuestionAsked" && event.questionId === `ques_${which}`)
  )

describe("questions", () => {
  it.prop(
    "are settled exactly once, outlive neither calls nor session, and are never more than may wait",
    [Schema.Array(Step).check(Schema.isMaxLength(80))],
    ([steps]) => {
      const session = new Session()
      for (const step of steps) {
        if (isRepeated(session, step)) continue
        const changed = session.take(commandOf(step))
        const { calls = [], questions = { pending: [] } } = session.state ?? {}
        assert.isAtMost(questions.pending.length, MAX_OPEN)
        if (step._tag === "expire early" || (step._tag === "answer" && !step.isTheirs)) assert.isFalse(changed)
        if (calls.length === 0) assert.isTrue(questions.pending.every(({ path }) => path !== undefined))
      }
      session.take(Command.End({ reason: "done", text: undefined }))
      assertLaws(session.events)
      const asked = session.events.flatMap((event) => (event._tag === "QuestionAsked" ? [event.questionId] : []))
      const settled = session.events.flatMap((event) => (event._tag === "QuestionSettled" ? [event.questionId] : []))
      assert.deepStrictEqual(settled.toSorted(), asked.toSorted())
    },
    { arbitrary: { runs: 300 } }
  )
})
